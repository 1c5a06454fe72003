// The watcher's HTTP server on a unix socket, for root only.
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { VirlanError } from '../../errors.ts';
import type { Event } from '../../report/event.ts';
import { isOutOfSpace } from '../../system/file-errors.ts';
import { paths } from '../../system/paths.ts';
import { type Answer, type Reply, type Routes, textAnswer } from './answers.ts';
import { requestWatcher } from './client.ts';

/** Slightly more than the longest XML that libvirt passes. */
const maxBodyBytes = 4_300_000;

/** The watcher's server. Create one per process. */
export class SocketServer {
  readonly #routes: Routes;
  readonly #report: (event: Event) => void;
  #listening: { readonly server: Server; readonly inode: number } | null = null;
  #restoring = false;
  /** The code of the error while nothing serves; it is reported one time. */
  #failure: string | null = null;

  constructor(routes: Routes, report: (event: Event) => void) {
    this.#routes = routes;
    this.#report = report;
  }

  /**
   * Serves on the watcher's socket. Throws VirlanError 'wrong-state' when another watcher does, such as one of an
   * earlier version, which holds no lock. Replaces a stale socket. Where /run has no room for a socket, reports
   * that, and hooks do without the watcher until `restore` finds room.
   */
  async start(): Promise<void> {
    if (await isServed())
      throw new VirlanError(
        'wrong-state',
        `another virlan watch runs already: it answers on ${paths.socket}`,
      );
    try {
      await this.#listen();
    } catch (error) {
      if (!isOutOfSpace(error)) throw error;
      this.#failed(error as Error);
    }
  }

  /** Serves again if the socket was removed, another process has replaced it, or there was no room for it. */
  async restore(): Promise<void> {
    if (this.#restoring || (this.#listening !== null && socketInode() === this.#listening.inode)) return;
    this.#restoring = true;
    try {
      this.close();
      await this.#listen();
      this.#report({ kind: 'socket-restored', path: paths.socket });
    } catch (error) {
      this.#failed(error as Error);
    } finally {
      this.#restoring = false;
    }
  }

  #failed(error: NodeJS.ErrnoException): void {
    this.#listening = null;
    const code = error.code ?? error.name;
    if (code !== this.#failure)
      this.#report({ kind: 'failed', during: 'file-change', error, path: paths.socket });
    this.#failure = code;
  }

  /** Stops to listen, and removes the socket. */
  close(): void {
    // Node removes whatever is at the path.
    this.#listening?.server.close();
  }

  async #listen(): Promise<void> {
    const server = await listen(this.#routes);
    this.#listening = { server, inode: socketInode() ?? 0 };
    this.#failure = null;
  }
}

function socketInode(): number | null {
  return lstatSync(paths.socket, { throwIfNoEntry: false })?.ino ?? null;
}

async function listen(routes: Routes): Promise<Server> {
  mkdirSync(paths.run, { recursive: true, mode: 0o700 });
  rmSync(paths.socket, { force: true });
  const server = createServer((message, response) => {
    answer(routes, message).then(
      reply => send(response, reply),
      (error: Error) => sendWhole(response, textAnswer(500, `${error.message}\n`)),
    );
  });
  // The socket is made before `listen` returns: no other work runs with this mask.
  const umask = process.umask(0o177);
  try {
    server.listen(paths.socket);
  } finally {
    process.umask(umask);
  }
  await once(server, 'listening');
  chmodSync(paths.socket, 0o600);
  return server;
}

async function answer(routes: Routes, message: IncomingMessage): Promise<Reply> {
  const route = routes.get(`${message.method} ${message.url}`);
  if (route === undefined) return { kind: 'whole', answer: textAnswer(404, 'not found\n') };
  const body = await readBody(message);
  return body === null ? { kind: 'whole', answer: textAnswer(413, 'too long\n') } : route(body);
}

async function readBody(message: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of message) {
    length += chunk.length;
    if (length > maxBodyBytes) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, reply: Reply): void {
  switch (reply.kind) {
    case 'whole':
      sendWhole(response, reply.answer);
      return;
    case 'stream':
      response.writeHead(200, { 'content-type': reply.type, connection: 'close' }).flushHeaders();
      reply.writeTo(response);
  }
}

function sendWhole(response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
}

async function isServed(): Promise<boolean> {
  return (await requestWatcher('GET', '/ping')) !== null;
}
