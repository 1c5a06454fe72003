// The calls of one connection: matches replies to calls, and limits the calls in flight and their time.

import { decode, encode } from './codec.ts';
import { CallTimeoutError, FrameError, LibvirtError, type ProcedureId } from './errors.ts';
import { encodeFrame, type FrameHeader, MessageStatus, MessageType } from './frame.ts';
import {
  type ArgsOf,
  type ProcedureName,
  procedureOf,
  type ReplyOf,
  remoteError,
  remoteProgram,
  remoteVersion,
} from './procedures.ts';

/**
 * libvirtd stops reading from a client that has `max_client_requests` calls outstanding, and then does not
 * see its keepalive requests either; the default is 5.
 */
const inFlightMax = 4;

interface PendingCall {
  readonly procedure: ProcedureId;
  readonly args: Buffer;
  /** Decodes the payload of a successful reply and resolves the caller's promise. */
  readonly succeed: (payload: Buffer) => void;
  readonly fail: (error: Error) => void;
}

/** Sends calls and matches replies to them. */
export class Calls {
  readonly #write: (frame: Buffer) => void;
  readonly #inFlight = new Map<number, PendingCall>();
  readonly #waiting = new Set<PendingCall>();
  #lastSerial = 0;
  #failure: Error | null = null;

  /** @param write sends a frame */
  constructor(write: (frame: Buffer) => void) {
    this.#write = write;
  }

  /**
   * Calls a procedure, as soon as fewer than `inFlightMax` calls are in flight.
   *
   * After the timeout of a call in flight its promise is rejected, but it still counts as in flight
   * until its reply comes: for libvirtd it is outstanding.
   *
   * @param timeoutMs limit for waiting and reply together; null for none
   */
  submit<N extends ProcedureName>(name: N, args: ArgsOf<N>, timeoutMs: number | null): Promise<ReplyOf<N>> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const codecs = procedureOf(name);
      const procedure = { name, number: codecs.number };
      let timer: NodeJS.Timeout | null = null;
      const clearTimer = () => {
        if (timer !== null) clearTimeout(timer);
      };
      const call: PendingCall = {
        procedure,
        args: encode(codecs.args, args),
        succeed: payload => {
          resolve(decode(codecs.reply, payload));
          clearTimer();
        },
        fail: error => {
          reject(error);
          clearTimer();
        },
      };
      if (timeoutMs !== null) {
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
   * @throws FrameError or XdrError if it is not the valid reply to a call in flight; such a call stays in
   *   flight and is rejected by `failAll`
   */
  takeReply(header: FrameHeader, payload: Buffer): void {
    const call = this.#inFlight.get(header.serial);
    if (call === undefined)
      throw new FrameError(`a reply with serial ${header.serial}, which no call in flight has`);
    if (header.procedure !== call.procedure.number) {
      throw new FrameError(
        `a reply of procedure ${header.procedure} to a call of procedure ${call.procedure.number}`,
      );
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

  /** Rejects all calls, those made later included: the connection has ended. */
  failAll(error: Error): void {
    this.#failure = error;
    const calls = [...this.#inFlight.values(), ...this.#waiting];
    this.#inFlight.clear();
    this.#waiting.clear();
    for (const call of calls) call.fail(error);
  }

  #sendWaiting(): void {
    for (const call of this.#waiting) {
      if (this.#inFlight.size >= inFlightMax) return;
      this.#waiting.delete(call);
      const serial = this.#nextSerial();
      this.#inFlight.set(serial, call);
      const header = {
        program: remoteProgram,
        version: remoteVersion,
        procedure: call.procedure.number,
        type: MessageType.CALL,
        serial,
        status: MessageStatus.OK,
      };
      this.#write(encodeFrame(header, call.args));
    }
  }

  /** Returns the next 32-bit serial that no call in flight has. */
  #nextSerial(): number {
    do {
      this.#lastSerial = (this.#lastSerial % 0xffffffff) + 1;
    } while (this.#inFlight.has(this.#lastSerial));
    return this.#lastSerial;
  }
}
