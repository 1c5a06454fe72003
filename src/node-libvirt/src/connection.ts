// One connection to one daemon, from connect() to its end. It does not reconnect; link.ts does, with a new
// connection.

import { connect, type Socket } from 'node:net';
import { Calls } from './calls.ts';
import { ConnectionError, type ConnectionFailure, FrameError, LibvirtError } from './errors.ts';
import { EventGate } from './event-gate.ts';
import { decodeEvent, type LibvirtEvent } from './events.ts';
import { encodeFrame, type FrameHeader, FrameReader, MessageStatus, MessageType } from './frame.ts';
import { Keepalive, type KeepaliveOptions } from './keepalive.ts';
import type { Notice } from './notices.ts';
import {
  type ArgsOf,
  keepalivePing,
  keepalivePong,
  keepaliveProgram,
  keepaliveVersion,
  type ProcedureName,
  type RemoteEventName,
  type ReplyOf,
  remoteEvents,
  remoteProgram,
  remoteVersion,
} from './procedures.ts';

/** remote_auth_type */
const authNone = 0;
const authPolkit = 2;

/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE; a client that asks for it receives keepalive requests. */
const featureKeepalive = 10;

/** Longest wait for the reply to CONNECT_CLOSE, on which nothing depends. */
const closeTimeoutMs = 1_000;

/** Limits for waiting for a daemon. */
export interface ConnectionLimits {
  /**
   * Limit from connect() to the last reply of the opening calls. A daemon that has just started accepts no
   * client until its drivers are initialized and its domains with autostart have been started
   * (virNetDaemonUpdateServices): connect() succeeds at once, as the socket has a backlog, and the first
   * reply may come minutes later.
   */
  readonly handshakeTimeoutMs: number;
  /** Limit for each call after that. */
  readonly callTimeoutMs: number;
  /** The detection of a daemon that stopped answering. */
  readonly keepalive: KeepaliveOptions;
}

/** The options of a connection, and the function that it reports to. */
export interface ConnectionOptions extends ConnectionLimits {
  /** Path of the daemon's socket. */
  readonly socket: string;
  /** The connection URI, such as qemu:///system. */
  readonly uri: string;
  readonly notice: (notice: Notice) => void;
}

/** A connection to one daemon. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #frames = new FrameReader();
  readonly #calls = new Calls(frame => void this.#socket.write(frame));
  readonly #gate = new EventGate();
  readonly #keepalive: Keepalive;
  #state: 'connecting' | 'handshake' | 'open' | 'closing' | 'closed' = 'connecting';
  #resolveClosed: (reason: ConnectionError) => void = () => {};

  /** Resolves with the reason when the connection has ended. Is never rejected. */
  readonly closed = new Promise<ConnectionError>(resolve => {
    this.#resolveClosed = resolve;
  });

  /** Connects at once. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#keepalive = new Keepalive(
      options.keepalive,
      () => this.#sendKeepalive(keepalivePing),
      () => this.#end('keepalive', `no answer to ${options.keepalive.count} keepalive requests`),
    );
    this.#socket = connect(options.socket)
      .on('connect', () => {
        this.#state = 'handshake';
      })
      .on('data', chunk => this.#guard(() => this.#frames.push(chunk, this.#onFrame)))
      .on('error', error => {
        this.#end(this.#state === 'connecting' ? 'connect' : 'lost', error.message, { cause: error });
      })
      .on('close', () => {
        this.#end('lost', `closed by the daemon${this.#frames.midFrame ? ' in the middle of a frame' : ''}`);
      });
  }

  /**
   * Authenticates, opens the URI and registers for events: before any other call, as a change between a
   * listing and a later registration would be missed. To be called once, right after construction.
   *
   * @returns the events that the daemon does not have
   * @throws LibvirtError or ConnectionError; the connection has then ended
   */
  async open(events: readonly RemoteEventName[]): Promise<readonly RemoteEventName[]> {
    const { handshakeTimeoutMs, uri } = this.#options;
    const timer = setTimeout(() => {
      this.#end(
        'handshake-timeout',
        `the daemon did not answer the opening calls within ${handshakeTimeoutMs} ms`,
      );
    }, handshakeTimeoutMs);
    try {
      await this.#authenticate();
      const keepalive = await this.#askForKeepalive();
      await this.#openingCall('REMOTE_PROC_CONNECT_OPEN', { name: uri, flags: 0 });
      const missing: RemoteEventName[] = [];
      for (const name of events) if (!(await this.#register(name))) missing.push(name);
      // The frame after the last reply may have ended the connection before this function resumed.
      if (this.#state === 'closed') throw await this.closed;
      this.#state = 'open';
      // Not earlier: while it starts, the daemon answers no keepalive requests either.
      if (keepalive) this.#keepalive.start();
      return missing;
    } catch (error) {
      this.#end('refused', messageOf(error), { cause: error });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Calls a procedure; rejected with LibvirtError, ConnectionError, CallTimeoutError or XdrError. */
  call<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ReplyOf<N>> {
    if (this.#state !== 'open') {
      return Promise.reject(new ConnectionError('not-connected', 'the connection is not open'));
    }
    return this.#calls.submit(name, args, this.#options.callTimeoutMs);
  }

  /**
   * Calls `listener` with each event received since the registration, and from then on with each as it comes.
   */
  deliverEvents(listener: (event: LibvirtEvent) => void): void {
    if (this.#state === 'open') this.#guard(() => this.#gate.open(listener));
  }

  /** Ends the connection; `closed` resolves when that is done. */
  close(): void {
    if (this.#state !== 'open') {
      this.#end('closed', 'closed');
      return;
    }
    // Without this call, the daemon logs an end of file as an error.
    const reply = this.#calls.submit('REMOTE_PROC_CONNECT_CLOSE', null, closeTimeoutMs);
    this.#state = 'closing';
    const end = () => this.#end('closed', 'closed');
    reply.then(end, end);
  }

  async #authenticate(): Promise<void> {
    // Required even without authentication: on a socket with polkit, this call authenticates root
    // (remoteDispatchAuthList).
    const { types } = await this.#openingCall('REMOTE_PROC_AUTH_LIST', null);
    if (types.length === 0 || types.includes(authNone)) return;
    if (!types.includes(authPolkit)) {
      throw new ConnectionError(
        'refused',
        `the daemon requires authentication of type ${types.join(' or ')}`,
      );
    }
    await this.#openingCall('REMOTE_PROC_AUTH_POLKIT', null);
  }

  async #askForKeepalive(): Promise<boolean> {
    const reply = await this.#unlessUnsupported(
      'keepalive',
      this.#openingCall('REMOTE_PROC_CONNECT_SUPPORTS_FEATURE', { feature: featureKeepalive }),
    );
    return reply !== null && reply.supported !== 0;
  }

  async #register(name: RemoteEventName): Promise<boolean> {
    const { driver, eventId: eventID } = remoteEvents[name];
    const reply = await this.#unlessUnsupported(
      name,
      driver === 'domain'
        ? this.#openingCall('REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', { eventID, dom: null })
        : this.#openingCall('REMOTE_PROC_CONNECT_NETWORK_EVENT_REGISTER_ANY', { eventID, net: null }),
    );
    if (reply === null) this.#gate.refused(name);
    else this.#gate.registered(name, reply.callbackID);
    return reply !== null;
  }

  /** Awaits the reply to a call that the connection can do without; null if libvirt returned an error. */
  async #unlessUnsupported<R>(what: 'keepalive' | RemoteEventName, reply: Promise<R>): Promise<R | null> {
    try {
      return await reply;
    } catch (error) {
      if (!(error instanceof LibvirtError)) throw error;
      this.#options.notice({ kind: 'unsupported', what, error });
      return null;
    }
  }

  #openingCall<N extends ProcedureName>(name: N, args: ArgsOf<N>): Promise<ReplyOf<N>> {
    return this.#calls.submit(name, args, null);
  }

  readonly #onFrame = (header: FrameHeader, payload: Buffer): void => {
    if (this.#state === 'closed') return;
    this.#keepalive.packetReceived();
    if (header.program === keepaliveProgram) this.#onKeepalive(header);
    else if (header.program === remoteProgram) this.#onRemote(header, payload);
    else throw new FrameError(`a frame of program 0x${header.program.toString(16)}`);
  };

  #onKeepalive({ version, type, procedure }: FrameHeader): void {
    if (version !== keepaliveVersion || type !== MessageType.MESSAGE) {
      throw new FrameError(`a keepalive frame of version ${version} and type ${type}`);
    }
    // Other procedures are ignored, as by virKeepAliveCheckMessage.
    if (procedure === keepalivePing) this.#sendKeepalive(keepalivePong);
  }

  /**
   * Only the type tells replies from events: libvirtd sends events with serial 1
   * (remoteDispatchObjectEventSend).
   */
  #onRemote(header: FrameHeader, payload: Buffer): void {
    const { version, type, status, procedure } = header;
    if (version !== remoteVersion) throw new FrameError(`a frame of protocol version ${version}`);
    if (type === MessageType.REPLY) {
      this.#calls.takeReply(header, payload);
    } else if (type === MessageType.MESSAGE) {
      if (status !== MessageStatus.OK) throw new FrameError(`an event with status ${status}`);
      const arrival = decodeEvent(procedure, payload);
      if (arrival !== null) this.#gate.push(arrival);
      else this.#options.notice({ kind: 'unknown-event', procedure });
    } else {
      throw new FrameError(`a frame of type ${type}`);
    }
  }

  #sendKeepalive(procedure: number): void {
    const header = {
      program: keepaliveProgram,
      version: keepaliveVersion,
      procedure,
      type: MessageType.MESSAGE,
      serial: 0,
      status: MessageStatus.OK,
    };
    this.#socket.write(encodeFrame(header));
  }

  /** Runs code that handles received data; an error ends this connection and nothing else. */
  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#end('protocol', messageOf(error), { cause: error });
    }
  }

  #end(failure: ConnectionFailure, message: string, options?: ErrorOptions): void {
    if (this.#state === 'closed') return;
    const reason =
      this.#state === 'closing'
        ? new ConnectionError('closed', 'closed')
        : new ConnectionError(failure, `${this.#options.socket}: ${message}`, options);
    this.#state = 'closed';
    this.#keepalive.stop();
    this.#gate.close();
    this.#socket.destroy();
    this.#calls.failAll(reason);
    this.#resolveClosed(reason);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
