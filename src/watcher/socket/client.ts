// Sends requests to the watcher on its socket.
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Status } from '../../report/status.ts';
import { paths } from '../../system/paths.ts';
import type { Answer } from './answers.ts';
import { parseReconcile, type ReconcileResult } from './reconcile-answer.ts';

/** Longest silence of the watcher; the command line then reads the files itself. */
const requestTimeoutMs = 5000;

/** Sends a request to the watcher. Returns null when none runs, or none answers in time. */
export function requestWatcher(method: 'GET' | 'POST', path: string, body = ''): Promise<Answer | null> {
  return new Promise(resolve => {
    const message = request(
      { socketPath: paths.socket, method, path, timeout: requestTimeoutMs },
      response => {
        const chunks: Buffer[] = [];
        response.on('data', chunk => chunks.push(chunk));
        response.on('error', () => resolve(null));
        response.on('end', () => {
          const type = response.headers['content-type'] ?? '';
          void resolve({
            status: response.statusCode ?? 0,
            type,
            body: Buffer.concat(chunks).toString('utf8'),
          });
        });
      },
    );
    message.on('timeout', () => message.destroy());
    message.on('error', () => resolve(null));
    message.on('close', () => resolve(null));
    message.end(body);
  });
}

/** Returns whether a watcher answers on the socket. */
export async function watcherRuns(): Promise<boolean> {
  return (await requestWatcher('GET', '/ping')) !== null;
}

/** Has the watcher reconcile a machine whose reservation changed. */
export async function requestReconcile(machine: string): Promise<ReconcileResult> {
  return parseReconcile(await requestWatcher('POST', '/reconcile', machine));
}

/** A line of the stream of `GET /v1/follow`, as JSON: the status as a whole, or why it could not be read. */
type StatusLine = Status | { readonly error: string };

/** A reading of the status. The text of `error` is hostile. */
export type FollowedStatus =
  | { readonly kind: 'read'; readonly status: Status }
  | { readonly kind: 'unreadable'; readonly error: string };

/**
 * Yields the status, at once and after each change, until the watcher ends or the caller stops. Yields nothing
 * when no watcher runs.
 */
export async function* followStatus(stop: AbortSignal): AsyncGenerator<FollowedStatus> {
  const message = request({ socketPath: paths.socket, path: '/v1/follow', signal: stop });
  // An error after the response's start is also thrown by reading the response.
  message.on('error', () => {});
  message.end();
  try {
    const [response]: IncomingMessage[] = await once(message, 'response');
    if (response?.statusCode !== 200) return;
    let rest = '';
    for await (const chunk of response.setEncoding('utf8')) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      const newest = lines.at(-1);
      if (newest !== undefined) yield followedStatus(JSON.parse(newest));
    }
  } catch (error) {
    if (!stop.aborted && !isConnectionError(error)) throw error;
  } finally {
    message.destroy();
  }
}

function followedStatus(line: StatusLine): FollowedStatus {
  return 'error' in line ? { kind: 'unreadable', error: line.error } : { kind: 'read', status: line };
}

function isConnectionError(error: unknown): boolean {
  const codes: unknown[] = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EACCES'];
  return codes.includes((error as NodeJS.ErrnoException).code);
}
