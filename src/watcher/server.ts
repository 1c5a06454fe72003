// The watcher's HTTP server on a unix socket, for root only.
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { VirlanError } from '../errors.ts';
import { paths } from '../system/paths.ts';
import { type Answer, plainText, type Routes } from './answers.ts';
import { requestWatcher } from './client.ts';

/** Slightly more than the longest XML that libvirt passes. */
const maxBodyBytes = 4_300_000;

/** The watcher's server. Create one per process. */
export class SocketServer {
  readonly #routes: Routes;
  #listening: { readonly server: Server; readonly inode: number } | null = null;
  #restoring = false;

  constructor(routes: Routes) {
    this.#routes = routes;
  }

  /**
   * Serves on the watcher's socket. Throws VirlanError 'wrong-state' when another watcher does, such as one of an
   * earlier version, which holds no lock. Replaces a stale socket.
   */
  async start(): Promise<void> {
    if (await isServed())
      throw new VirlanError(
        'wrong-state',
        `another virlan watch runs already: it answers on ${paths.socket}`,
      );
    await this.#listen();
  }

  /** Serves again if the socket was removed, or another process has replaced it. Returns whether it did so. */
  async restore(): Promise<boolean> {
    if (this.#listening === null || this.#restoring || socketInode() === this.#listening.inode) return false;
    this.#restoring = true;
    try {
      this.close();
      await this.#listen();
      return true;
    } finally {
      this.#restoring = false;
    }
  }

  /** Stops to listen, and removes the socket. */
  close(): void {
    // Node removes whatever is at the path.
    this.#listening?.server.close();
  }

  async #listen(): Promise<void> {
    const server = await listen(this.#routes);
    this.#listening = { server, inode: socketInode() ?? 0 };
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
      (error: Error) => send(response, { status: 500, type: plainText, body: `${error.message}\n` }),
    );
  });
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(paths.socket, resolve);
    });
  } finally {
    process.umask(umask);
  }
  chmodSync(paths.socket, 0o600);
  return server;
}

async function answer(routes: Routes, message: IncomingMessage): Promise<Answer> {
  const route = routes.get(`${message.method} ${message.url}`);
  if (route === undefined) return { status: 404, type: plainText, body: 'not found\n' };
  const body = await readBody(message);
  return body === null ? { status: 413, type: plainText, body: 'too long\n' } : route(body);
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

function send(response: ServerResponse, { status, type, body }: Answer): void {
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
