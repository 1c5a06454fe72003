import { request } from 'node:http';
import { paths } from '../system/paths.ts';

/** What the watcher answers: a status code of HTTP and a text. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** How long the command line waits for the watcher, in milliseconds, before it reads the files itself. */
const patience = 5000;

/** What the watcher answers, or null when there is none, or none that answers in time. */
export function askWatcher(method: 'GET' | 'POST', path: string, body = ''): Promise<Answer | null> {
  return new Promise(resolve => {
    const message = request({ socketPath: paths.socket, method, path, timeout: patience }, response => {
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
    });
    message.on('timeout', () => message.destroy());
    message.on('error', () => resolve(null));
    message.on('close', () => resolve(null));
    message.end(body);
  });
}
