// Serves metrics for Prometheus by HTTP: /metrics and nothing else.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../../config/config.ts';
import type { Event, MetricsProblem } from '../../report/event.ts';
import { type Answer, textAnswer } from './answers.ts';

/** Limits for clients that ask slowly, or never end: anybody who reaches the port may connect. */
const requestTimeoutMs = 5000;
const maxConnections = 20;

/** The server of metrics. It listens where the configuration says, and nowhere at first. */
export class MetricsServer {
  readonly #render: () => Promise<Answer>;
  readonly #report: (event: Event) => void;
  #server: Server | null = null;
  #endpoint: Endpoint | null = null;
  #problem: MetricsProblem | null = null;

  constructor(render: () => Promise<Answer>, report: (event: Event) => void) {
    this.#render = render;
    this.#report = report;
  }

  /** The reason why metrics are not served where they should be; null when they are. */
  get problem(): MetricsProblem | null {
    return this.#problem;
  }

  /** Listens at an endpoint, or nowhere. One that does not work is reported one time, and tried again. */
  async listen(endpoint: Endpoint | null): Promise<void> {
    const isSame = isDeepStrictEqual(endpoint, this.#endpoint);
    const before = isSame ? this.#problem : null;
    if (isSame && before === null) return;
    this.close();
    this.#endpoint = endpoint;
    this.#problem = null;
    if (endpoint === null) return;
    const server = createServer(
      {
        requestTimeout: requestTimeoutMs,
        headersTimeout: requestTimeoutMs,
        keepAliveTimeout: requestTimeoutMs,
      },
      (request, response) => void this.#answer(request, response),
    );
    server.maxConnections = maxConnections;
    this.#server = server;
    await new Promise<void>(resolve => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const problem = { endpoint, error };
        if (error.code !== before?.error.code) this.#report({ kind: 'metrics-not-served', problem });
        this.#problem = problem;
        resolve();
      });
      server.listen({ host: endpoint.address, port: endpoint.port, exclusive: true }, resolve);
    });
  }

  /** Stops to listen, and ends connections. */
  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = null;
  }

  async #answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, type, body } = await this.#answerOf(method, url);
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
    response.end(method === 'HEAD' ? '' : body);
  }

  async #answerOf(method = '', url = ''): Promise<Answer> {
    if (url.split('?', 1)[0] !== '/metrics') return textAnswer(404, 'not found\n');
    if (method !== 'GET' && method !== 'HEAD') return textAnswer(405, 'only GET\n');
    try {
      return await this.#render();
    } catch {
      // The reason may name files, and is in the status.
      return textAnswer(500, 'failed: see virlan status\n');
    }
  }
}
