// A scripted daemon for tests. It builds its frames without the code under test, so that a mistake there
// cannot cancel itself out.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const remoteProgram = 0x20008086;
export const keepaliveProgram = 0x6b656570;

/** Returns 32 bits, big-endian, as hex digits. */
export function u32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** Converts hex digits, with any spaces between them, to bytes. */
export function bytes(...hex: string[]): Buffer {
  return Buffer.from(hex.join('').replaceAll(/\s/g, ''), 'hex');
}

/** Returns an XDR string as hex digits: length, UTF-8, padding. */
export function xdrString(text: string): string {
  const utf8 = Buffer.from(text);
  return u32(utf8.length) + utf8.toString('hex') + '00'.repeat(-utf8.length & 3);
}

/** The header of a frame; what is left out is 0, or the remote program and its version. */
export interface Header {
  program?: number;
  version?: number;
  procedure: number;
  type: number;
  serial?: number;
  status?: number;
}

/** Builds a frame with its length. */
export function frame(header: Header, payload = ''): Buffer {
  const { program = remoteProgram, version = 1, procedure, type, serial = 0, status = 0 } = header;
  const rest = bytes([program, version, procedure, type, serial, status].map(u32).join(''), payload);
  return Buffer.concat([bytes(u32(rest.length + 4)), rest]);
}

/** Returns a virNetMessageError whose only optional field is its message. */
export function remoteError(code: number, domain: number, message: string): string {
  return [
    u32(code),
    u32(domain),
    u32(1),
    xdrString(message),
    u32(2),
    u32(0).repeat(4),
    u32(0).repeat(2),
    u32(0),
  ].join('');
}

/** The UUID of every domain and network here. */
export const sampleUuid = '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ab';
const uuidHex = sampleUuid.replaceAll('-', '');

/** Returns a remote_nonnull_domain that does not run. */
export function domain(name: string): string {
  return xdrString(name) + uuidHex + u32(-1);
}

/** Returns a remote_nonnull_network. */
export function network(name: string): string {
  return xdrString(name) + uuidHex;
}

/** Builds a DOMAIN_EVENT_CALLBACK_LIFECYCLE. */
export function lifecycle(callbackId: number, name: string, event: number, detail: number): Buffer {
  return frame(
    { procedure: 318, type: 2, serial: 1 },
    u32(callbackId) + domain(name) + u32(event) + u32(detail),
  );
}

/** A frame that came from the client. */
export interface Received {
  program: number;
  procedure: number;
  type: number;
  serial: number;
  payload: Buffer;
  /** The whole frame. */
  bytes: Buffer;
}

/** One client's connection, as the daemon sees it. */
export class Conversation {
  readonly received: Received[] = [];
  readonly #socket: Socket;

  constructor(socket: Socket, onFrame: (conversation: Conversation, frame: Received) => void) {
    this.#socket = socket;
    let rest = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', chunk => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= rest.readUInt32BE(0)) {
        const whole = rest.subarray(0, rest.readUInt32BE(0));
        rest = rest.subarray(whole.length);
        const [program, , procedure, type, serial] = [4, 8, 12, 16, 20].map(at => whole.readUInt32BE(at)) as [
          number,
          number,
          number,
          number,
          number,
        ];
        const received = { program, procedure, type, serial, payload: whole.subarray(28), bytes: whole };
        this.received.push(received);
        onFrame(this, received);
      }
    });
  }

  send(...frames: Buffer[]): void {
    this.#socket.write(Buffer.concat(frames));
  }

  reply(call: Received, payload = ''): void {
    this.send(frame({ procedure: call.procedure, type: 1, serial: call.serial }, payload));
  }

  refuse(call: Received, code: number, message: string): void {
    const header = { procedure: call.procedure, type: 1, serial: call.serial, status: 1 };
    this.send(frame(header, remoteError(code, 38, message)));
  }

  /** Ends the connection after everything that was sent. */
  end(): void {
    this.#socket.end();
  }

  /** Returns the number of calls of this procedure. */
  count(procedure: number): number {
    return this.received.filter(frame => frame.type === 0 && frame.procedure === procedure).length;
  }
}

/** Answers a call. */
export type Answer = (conversation: Conversation, call: Received) => void;

const register: Answer = (conversation, call) => {
  const registered = conversation.count(313) + conversation.count(316);
  conversation.reply(call, u32(registered + 6));
};

/** By procedure number; `ping` is for keepalive requests. */
export type Answers = Record<number, Answer> & { ping?: Answer };

/** The answers of a daemon without faults, by procedure number. Callback IDs begin with 7. */
const defaultAnswers: Record<number, Answer> = {
  1: (conversation, call) => conversation.reply(call),
  2: (conversation, call) => conversation.reply(call),
  60: (conversation, call) => conversation.reply(call, u32(1)),
  66: (conversation, call) => conversation.reply(call, u32(1) + u32(0)),
  313: register,
  316: register,
};

/** A daemon that answers as it is told to. */
export class Peer {
  readonly directory = mkdtempSync(join(tmpdir(), 'libvirt-rpc-'));
  readonly conversations: Conversation[] = [];
  readonly #server;
  readonly #sockets = new Set<Socket>();

  /** @param answers replace or add to those of a daemon without faults */
  constructor(answers: Answers = {}) {
    const all: Answers = { ...defaultAnswers, ...answers };
    this.#server = createServer(socket => {
      this.#sockets.add(socket);
      const conversation = new Conversation(socket, (self, received) => {
        if (received.type === 0) all[received.procedure]?.(self, received);
        else if (received.procedure === 1) all.ping?.(self, received);
      });
      this.conversations.push(conversation);
    });
  }

  /** Starts to listen on a socket with this name in the directory. */
  listen(name = 'libvirt-sock'): Promise<this> {
    return this.listenAt(join(this.directory, name));
  }

  listenAt(path: string): Promise<this> {
    return new Promise(resolve => this.#server.listen(path, () => resolve(this)));
  }

  get socket(): string {
    return join(this.directory, 'libvirt-sock');
  }

  /** The latest connection. */
  get conversation(): Conversation {
    const latest = this.conversations.at(-1);
    if (latest === undefined) throw new Error('no client has connected');
    return latest;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    rmSync(this.directory, { recursive: true });
  }
}

/** Waits until a condition holds that the other side of a socket fulfils; rejected after 5 s. */
export async function until(condition: () => unknown, what: string): Promise<void> {
  const end = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within 5 s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 1));
  }
}
