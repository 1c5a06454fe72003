// Sends requests to the watcher on its socket.
import { request } from 'node:http';
import { paths } from '../system/paths.ts';
import type { Answer } from './answers.ts';

/** Longest wait for an answer; the command line then reads the files itself. */
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
