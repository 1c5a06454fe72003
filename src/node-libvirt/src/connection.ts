// One connection to one daemon, from connect() to its end. It never comes back: whoever wants another one makes
// another one (see link.ts).

import { connect, type Socket } from 'node:net';
import { Calls } from './calls.ts';
import { ConnectionError, FrameError, LibvirtError } from './errors.ts';
import { EventGate } from './event-gate.ts';
import { decodeEvent, type LibvirtEvent } from './events.ts';
import { encodeFrame, type FrameHeader, FrameReader, MessageStatus, MessageType } from './frame.ts';
import { Keepalive, type KeepaliveOptions } from './keepalive.ts';
import type { Notice } from './notices.ts';
import {
  type ArgsOf,
  KEEPALIVE_PROC_PING,
  KEEPALIVE_PROC_PONG,
  KEEPALIVE_PROGRAM,
  KEEPALIVE_VERSION,
  type ProcedureName,
  REMOTE_PROGRAM,
  REMOTE_VERSION,
  type RemoteEventName,
  type ReplyOf,
  remoteEvents,
} from './procedures.ts';

/** remote_auth_type */
const AUTH_NONE = 0;
const AUTH_POLKIT = 2;

/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE; asking for it makes the daemon send requests of its own. */
const FEATURE_KEEPALIVE = 10;

/** How long to wait for the reply to CONNECT_CLOSE, which is a courtesy. */
const CLOSE_TIMEOUT_MS = 1_000;

export interface ConnectionLimits {
  /**
   * For everything from connect() to the reply of CONNECT_OPEN. A daemon that has just started accepts nobody until
   * its drivers are up and its machines with autostart have been started (virNetDaemonUpdateServices): connect()
   * succeeds at once, as the socket has a backlog, and the first reply comes minutes later.
   */
  readonly handshakeTimeoutMs: number;
  /** For each call after that. */
  readonly callTimeoutMs: number;
  readonly keepalive: KeepaliveOptions;
}

export interface ConnectionOptions extends ConnectionLimits {
  /** Path of the daemon's socket. */
  readonly socket: string;
  /** What to open, such as qemu:///system. */
  readonly uri: string;
  readonly notice: (notice: Notice) => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #calls = new Calls(frame => void this.#socket.write(frame));
  readonly #gate = new EventGate();
  readonly #keepalive: Keepalive;
  #state: 'connecting' | 'handshake' | 'open' | 'closing' | 'closed' = 'connecting';
  #resolveClosed: (reason: ConnectionError) => void = () => {};

  /** Resolves when the connection has ended, to the reason. Is never rejected. */
  readonly closed = new Promise<ConnectionError>(resolve => {
    this.#resolveClosed = resolve;
  });

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#keepalive = new Keepalive(
      options.keepalive,
      () => this.#sendKeepalive(KEEPALIVE_PROC_PING),
      () => this.#end('keepalive', `no answer to ${options.keepalive.count} keepalive requests`),
    );
    this.#socket = connect(options.socket)
      .on('connect', () => {
        this.#state = 'handshake';
      })
      .on('data', chunk => this.#guard(() => this.#frames.push(chunk, this.#onFrame)))
      .on('error', error => {
        this.#end(this.#state === 'connecting' ? 'connect' : 'lost', error.message, error);
      })
      .on('close', () => {
        this.#end('lost', `closed by the daemon${this.#frames.midFrame ? ' in the middle of a frame' : ''}`);
      });
  }

  /**
   * Does what has to be done before other calls are possible, and registers for events: first of all, as what changes
   * between a listing and a later registration would be missed. To be called once, right away.
   *
   * @returns the events that the daemon does not offer
   */
  async open(events: readonly RemoteEventName[]): Promise<readonly RemoteEventName[]> {
    const { handshakeTimeoutMs, uri } = this.#options;
    const timer = setTimeout(() => {
      this.#end('handshake-timeout', `the daemon did not let us in within ${handshakeTimeoutMs} ms`);
    }, handshakeTimeoutMs);
    try {
      await this.#authenticate();
      const keepalive = await this.#askForKeepalive();
      await this.#openingCall('REMOTE_PROC_CONNECT_OPEN', { name: uri, flags: 0 });
      const missing: RemoteEventName[] = [];
      for (const name of events) if (!(await this.#register(name))) missing.push(name);
      // The frame after the last reply may have ended it before this function could go on.
      if (this.#state === 'closed') throw await this.closed;
      this.#state = 'open';
      // Not earlier: during its start-up the daemon answers nothing, keepalive requests included.
      if (keepalive) this.#keepalive.start();
      return missing;
    } catch (error) {
      this.#end('refused', error instanceof Error ? error.message : String(error), error);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Calls a procedure. Rejected with LibvirtError, ConnectionError, CallTimeoutError or XdrError. */
  call<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ReplyOf<N>> {
    if (this.#state !== 'open') {
      return Promise.reject(new ConnectionError('not-connected', 'the connection is not open'));
    }
    return this.#calls.submit(name, args, this.#options.callTimeoutMs);
  }

  /** Hands over every event that has come since its registration, and from then on each as it comes. */
  deliverEvents(listener: (event: LibvirtEvent) => void): void {
    if (this.#state === 'open') this.#guard(() => this.#gate.open(listener));
  }

  /** Ends the connection; `closed` tells when that is done. */
  close(): void {
    if (this.#state !== 'open') {
      this.#end('closed', 'closed');
      return;
    }
    // Without this call, the daemon logs an end of file as an error.
    const farewell = this.#calls.submit('REMOTE_PROC_CONNECT_CLOSE', undefined, CLOSE_TIMEOUT_MS);
    this.#state = 'closing';
    const end = () => this.#end('closed', 'closed');
    farewell.then(end, end);
  }

  async #authenticate(): Promise<void> {
    // Mandatory even where no authentication is: for root on a socket with polkit, this is the call that lets it in
    // (remoteDispatchAuthList).
    const { types } = await this.#openingCall('REMOTE_PROC_AUTH_LIST', undefined);
    if (types.length === 0 || types.includes(AUTH_NONE)) return;
    if (!types.includes(AUTH_POLKIT)) {
      throw new ConnectionError('refused', `the daemon wants authentication of type ${types.join(' or ')}`);
    }
    await this.#openingCall('REMOTE_PROC_AUTH_POLKIT', undefined);
  }

  async #askForKeepalive(): Promise<boolean> {
    const reply = await this.#unlessUnsupported(
      'keepalive',
      this.#openingCall('REMOTE_PROC_CONNECT_SUPPORTS_FEATURE', { feature: FEATURE_KEEPALIVE }),
    );
    return reply !== undefined && reply.supported !== 0;
  }

  async #register(name: RemoteEventName): Promise<boolean> {
    const { driver, eventId: eventID } = remoteEvents[name];
    const reply = await this.#unlessUnsupported(
      name,
      driver === 'domain'
        ? this.#openingCall('REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', { eventID, dom: null })
        : this.#openingCall('REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY', { eventID, net: null }),
    );
    if (reply === undefined) this.#gate.refused(name);
    else this.#gate.registered(name, reply.callbackID);
    return reply !== undefined;
  }

  /** For calls without which the connection is still of use. An older daemon has fewer features and events. */
  async #unlessUnsupported<R>(
    what: 'keepalive' | RemoteEventName,
    reply: Promise<R>,
  ): Promise<R | undefined> {
    try {
      return await reply;
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      this.#options.notice({ kind: 'unsupported', what, error });
      return undefined;
    }
  }

  #openingCall<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ReplyOf<N>> {
    return this.#calls.submit(name, args, undefined);
  }

  readonly #onFrame = (header: FrameHeader, payload: Buffer): void => {
    if (this.#state === 'closed') return;
    this.#keepalive.packetReceived();
    if (header.program === KEEPALIVE_PROGRAM) this.#onKeepalive(header);
    else if (header.program === REMOTE_PROGRAM) this.#onRemote(header, payload);
    else throw new FrameError(`a frame of program 0x${header.program.toString(16)}`);
  };

  #onKeepalive({ version, type, procedure }: FrameHeader): void {
    if (version !== KEEPALIVE_VERSION || type !== MessageType.MESSAGE) {
      throw new FrameError(`a keepalive frame of version ${version} and type ${type}`);
    }
    // Other procedures are ignored, as in virKeepAliveCheckMessage.
    if (procedure === KEEPALIVE_PROC_PING) this.#sendKeepalive(KEEPALIVE_PROC_PONG);
  }

  /** The type alone tells replies from events: libvirtd gives events the serial 1 (remoteDispatchObjectEventSend). */
  #onRemote(header: FrameHeader, payload: Buffer): void {
    const { version, type, status, procedure } = header;
    if (version !== REMOTE_VERSION) throw new FrameError(`a frame of protocol version ${version}`);
    if (type === MessageType.REPLY) {
      this.#calls.settle(header, payload);
    } else if (type === MessageType.MESSAGE) {
      if (status !== MessageStatus.OK) throw new FrameError(`an event with status ${status}`);
      const arrival = decodeEvent(procedure, payload);
      if (arrival !== undefined) this.#gate.push(arrival);
      else this.#options.notice({ kind: 'unknown-event', procedure });
    } else {
      throw new FrameError(`a frame of type ${type}`);
    }
  }

  #sendKeepalive(procedure: number): void {
    const header = {
      program: KEEPALIVE_PROGRAM,
      version: KEEPALIVE_VERSION,
      procedure,
      type: MessageType.MESSAGE,
      serial: 0,
      status: MessageStatus.OK,
    };
    this.#socket.write(encodeFrame(header));
  }

  /** Whatever goes wrong with what the daemon sent ends this connection and nothing else. */
  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#end('protocol', error instanceof Error ? error.message : String(error), error);
    }
  }

  #end(failure: ConnectionError['failure'], message: string, cause?: unknown): void {
    if (this.#state === 'closed') return;
    const reason =
      this.#state === 'closing'
        ? new ConnectionError('closed', 'closed')
        : new ConnectionError(failure, `${this.#options.socket}: ${message}`, cause);
    this.#state = 'closed';
    this.#keepalive.stop();
    this.#gate.close();
    this.#socket.destroy();
    this.#calls.failAll(reason);
    this.#resolveClosed(reason);
  }
}
