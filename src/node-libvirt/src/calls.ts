// The calls of one connection: which reply belongs to which, how many are under way, and how long each may take.

import { decode, encode } from './codec.ts';
import { CallTimeoutError, FrameError, LibvirtError, type ProcedureId } from './errors.ts';
import { encodeFrame, type FrameHeader, MessageStatus, MessageType } from './frame.ts';
import {
  type ArgsOf,
  type ProcedureName,
  procedureOf,
  REMOTE_PROGRAM,
  REMOTE_VERSION,
  type ReplyOf,
  remoteError,
} from './procedures.ts';

/**
 * libvirtd stops reading from a client that has `max_client_requests` calls outstanding, keepalive requests then
 * included; the default is 5.
 */
const IN_FLIGHT_MAX = 4;

interface PendingCall {
  readonly procedure: ProcedureId;
  readonly args: Buffer;
  /** Decodes the payload of a successful reply and resolves the caller's promise. */
  readonly succeed: (payload: Buffer) => void;
  readonly fail: (error: Error) => void;
}

export class Calls {
  readonly #write: (frame: Buffer) => void;
  readonly #inFlight = new Map<number, PendingCall>();
  readonly #waiting = new Set<PendingCall>();
  #lastSerial = 0;
  #failure: Error | undefined;

  constructor(write: (frame: Buffer) => void) {
    this.#write = write;
  }

  /**
   * Calls a procedure, now or as soon as there is room.
   *
   * A call that is in flight when its time is over fails towards its caller, but keeps its place until its reply comes:
   * for libvirtd it is still outstanding.
   *
   * @param timeoutMs limit for waiting and answer together; undefined for none
   */
  submit<N extends ProcedureName>(
    name: N,
    args: ArgsOf<N>,
    timeoutMs: number | undefined,
  ): Promise<ReplyOf<N>> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const codecs = procedureOf(name);
      const procedure = { name, number: codecs.number };
      let timer: NodeJS.Timeout | undefined;
      const call: PendingCall = {
        procedure,
        args: encode(codecs.args, args),
        succeed: payload => {
          resolve(decode(codecs.reply, payload));
          clearTimeout(timer);
        },
        fail: error => {
          reject(error);
          clearTimeout(timer);
        },
      };
      if (timeoutMs !== undefined) {
        timer = setTimeout(() => {
          this.#waiting.delete(call);
          call.fail(new CallTimeoutError(procedure, timeoutMs));
        }, timeoutMs);
      }
      this.#waiting.add(call);
      this.#sendWaiting();
    });
  }

  /**
   * Takes a reply.
   *
   * @throws FrameError or XdrError if it is not the reply to a call in flight; that call, if there is one, stays in
   *   flight and is left to `failAll`
   */
  settle(header: FrameHeader, payload: Buffer): void {
    const call = this.#inFlight.get(header.serial);
    if (call === undefined) throw new FrameError(`a reply to serial ${header.serial}, which is no call's`);
    if (header.procedure !== call.procedure.number) {
      throw new FrameError(`a reply of procedure ${header.procedure} to a call of ${call.procedure.number}`);
    }
    if (header.status === MessageStatus.OK) {
      call.succeed(payload);
    } else if (header.status === MessageStatus.ERROR) {
      const { message, code, domain } = decode(remoteError, payload);
      call.fail(new LibvirtError(message ?? `error ${code}, no message`, code, domain, call.procedure));
    } else {
      throw new FrameError(`a reply with status ${header.status}`);
    }
    this.#inFlight.delete(header.serial);
    this.#sendWaiting();
  }

  /** The connection is gone: fails all calls there are and all that will be. */
  failAll(error: Error): void {
    this.#failure = error;
    const calls = [...this.#inFlight.values(), ...this.#waiting];
    this.#inFlight.clear();
    this.#waiting.clear();
    for (const call of calls) call.fail(error);
  }

  #sendWaiting(): void {
    for (const call of this.#waiting) {
      if (this.#inFlight.size >= IN_FLIGHT_MAX) return;
      this.#waiting.delete(call);
      const serial = this.#nextSerial();
      this.#inFlight.set(serial, call);
      const header = {
        program: REMOTE_PROGRAM,
        version: REMOTE_VERSION,
        procedure: call.procedure.number,
        type: MessageType.CALL,
        serial,
        status: MessageStatus.OK,
      };
      this.#write(encodeFrame(header, call.args));
    }
  }

  /** 32 bits on the wire; a call may outlive a turn of the counter, so a serial in use is passed over. */
  #nextSerial(): number {
    do {
      this.#lastSerial = (this.#lastSerial % 0xffffffff) + 1;
    } while (this.#inFlight.has(this.#lastSerial));
    return this.#lastSerial;
  }
}
