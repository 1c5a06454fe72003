// A connection to one member of etcd, by the JSON form of its API
// (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway), which every etcd from 3.4 on serves at the address of its
// clients. Keys and values are base64, numbers are text.
//   POST /v3/kv/range {"key": "L3Zp…", "range_end": "L3Zp…"} → {"header": {"revision": "7"}, "kvs": [{"key": …, …}]}
import { readFileSync } from 'node:fs';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import * as v from 'valibot';
import type { EtcdConfig } from '../config/config.ts';
import { EtcdError, reasonOf } from './etcd-error.ts';
import type { Compare, Operation, Pair, Transaction } from './transaction.ts';

/** Longest wait for an answer; a write waits for the disks of most members. */
const timeoutMs = 5000;

/** Most keys of one answer: while one is parsed, the watcher answers no hook. */
const pageKeys = 5000;

/** The status of HTTP by which a member says that it cannot serve. */
const unavailable = 503;

/** Longest file with certificates, a key or a password, in characters: a longer one is the wrong one. */
const maxSecretLength = 1_000_000;

/** Longest answer, and longest line of a watch, that are read. */
const maxBytes = 2 ** 28;

const numberText = v.pipe(v.string(), v.regex(/^\d{1,19}$/), v.transform(Number));
const header = v.object({ revision: numberText });
const optionalText = v.optional(v.string(), '');
const pair = v.object({ key: v.string(), value: optionalText, mod_revision: numberText });
const rangeAnswer = v.object({
  header,
  kvs: v.optional(v.array(pair), []),
  more: v.optional(v.boolean(), false),
});
const txnAnswer = v.object({ header, succeeded: v.optional(v.boolean(), false) });
const leaseAnswer = v.object({ ID: v.pipe(v.string(), v.regex(/^-?\d{1,19}$/)) });
const keepAliveAnswer = v.object({ result: v.object({ TTL: v.optional(numberText, '0') }) });
const tokenAnswer = v.object({ token: v.string() });
const watchLine = v.object({
  result: v.object({
    canceled: v.optional(v.boolean(), false),
    events: v.optional(v.array(v.object({ type: v.optional(v.string(), 'PUT'), kv: pair })), []),
  }),
});
const refusal = v.object({ code: v.optional(v.number(), 0), message: optionalText });

/** A connection. Every call throws EtcdError. */
export class EtcdClient {
  readonly #endpoint: URL;
  readonly #agent: http.Agent | https.Agent;
  readonly #tls: https.AgentOptions;
  #token: string | null = null;

  private constructor(endpoint: string, tls: https.AgentOptions) {
    this.#endpoint = new URL(endpoint);
    this.#tls = tls;
    this.#agent =
      this.#endpoint.protocol === 'https:'
        ? new https.Agent({ ...tls, keepAlive: true, maxSockets: 8 })
        : new http.Agent({ keepAlive: true });
  }

  /**
   * Asks a member how it is. It answers that to anybody, and without the other members. `clock` is its time, to the
   * second; null if it does not send it.
   */
  static async health(
    endpoint: string,
    config: EtcdConfig,
  ): Promise<{ readonly canServe: boolean; readonly clock: Date | null }> {
    const client = EtcdClient.#open(endpoint, config);
    try {
      const { statusCode, headers } = await client.#request('/health', null, { timeout: timeoutMs });
      const time = Date.parse(headers.date ?? '');
      return { canServe: statusCode !== unavailable, clock: Number.isNaN(time) ? null : new Date(time) };
    } finally {
      client.close();
    }
  }

  /** Connects to a member. */
  static async connect(endpoint: string, config: EtcdConfig): Promise<EtcdClient> {
    const client = EtcdClient.#open(endpoint, config);
    const { user } = config;
    if (user === null) return client;
    const password = readSecret(user.passwordFile).split(/\r?\n/)[0] ?? '';
    try {
      const { token } = await client.#call(
        '/v3/auth/authenticate',
        { name: user.name, password },
        tokenAnswer,
      );
      client.#token = token;
    } catch (error) {
      client.close();
      throw error;
    }
    return client;
  }

  /** The files are read each time: certificates are renewed. */
  static #open(endpoint: string, { ca, cert, key }: EtcdConfig): EtcdClient {
    const tls = { ...readPem('ca', ca), ...readPem('cert', cert), ...readPem('key', key) };
    return new EtcdClient(endpoint, tls);
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Reads all keys that begin with a prefix, some at a time, as they were at one revision, and returns it. */
  async read(prefix: string, take: (pairs: readonly Pair[]) => void): Promise<number> {
    const { key: first, range_end } = below(prefix);
    let key = first;
    let revision: number | null = null;
    for (;;) {
      const at: { revision?: string } = revision === null ? {} : { revision: `${revision}` };
      const body = { key, range_end, limit: `${pageKeys}`, ...at };
      const { header, kvs, more }: v.InferOutput<typeof rangeAnswer> = await this.#call(
        '/v3/kv/range',
        body,
        rangeAnswer,
      );
      take(kvs.map(decodePair));
      revision ??= header.revision;
      const last = kvs.at(-1);
      if (!more || last === undefined) return revision;
      // In bytes: somebody else may have written a key that is not UTF-8.
      key = Buffer.concat([Buffer.from(last.key, 'base64'), Buffer.of(0)]).toString('base64');
    }
  }

  /** Writes, if all compares hold. Returns the revision of the write; null if one does not hold. */
  async write({ compares, operations }: Transaction): Promise<number | null> {
    const body = { compare: compares.map(encodeCompare), success: operations.map(encodeOperation) };
    const { header, succeeded } = await this.#call('/v3/kv/txn', body, txnAnswer);
    return succeeded ? header.revision : null;
  }

  /** Returns the number of a new lease. */
  async grantLease(ttlSeconds: number): Promise<string> {
    const { ID } = await this.#call('/v3/lease/grant', { TTL: `${ttlSeconds}`, ID: '0' }, leaseAnswer);
    return ID;
  }

  /**
   * Renews a lease. Returns false if it has ended. The leader answers: so etcd has a quorum, and this member is in it.
   */
  async keepAlive(lease: string): Promise<boolean> {
    const { result } = await this.#call('/v3/lease/keepalive', { ID: lease }, keepAliveAnswer);
    return result.TTL > 0;
  }

  /**
   * Reports changes from a revision on until it throws, as it does when the connection ends or `signal` is aborted.
   * A key that was deleted has no value.
   */
  async watch(
    prefix: string,
    fromRevision: number,
    changed: (pairs: readonly Pair[]) => void,
    signal: AbortSignal,
  ): Promise<never> {
    const body = { create_request: { ...below(prefix), start_revision: `${fromRevision}` } };
    const response = await this.#request('/v3/watch', body, { timeout: 0, signal });
    let rest = '';
    try {
      for await (const chunk of response.setEncoding('utf8')) {
        const lines = `${rest}${chunk}`.split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > maxBytes) break;
        for (const line of lines.filter(text => text !== '')) this.#report(line, changed);
      }
    } catch (error) {
      throw this.#error(error as Error);
    }
    throw new EtcdError('unreachable', `${this.#endpoint.host} closed the connection`);
  }

  /** Reports the changes of one line of a watch. */
  #report(line: string, changed: (pairs: readonly Pair[]) => void): void {
    const { canceled, events } = parse(line, watchLine).result;
    if (canceled) throw new EtcdError('failed', `${this.#endpoint.host} ended the watch`);
    const pairs = events.map(({ type, kv }) => ({
      ...decodePair(kv),
      ...(type === 'DELETE' ? { value: null } : {}),
    }));
    if (pairs.length > 0) changed(pairs);
  }

  async #call<T extends v.GenericSchema>(path: string, body: object, schema: T): Promise<v.InferOutput<T>> {
    const response = await this.#request(path, body, { timeout: timeoutMs });
    let text = '';
    try {
      for await (const chunk of response.setEncoding('utf8')) {
        text += chunk;
        if (text.length > maxBytes)
          throw new EtcdError('failed', `${this.#endpoint.host} answers without end`);
      }
    } catch (error) {
      throw this.#error(error as Error);
    }
    if (response.statusCode === 200) return parse(text, schema);
    const { code, message } = parse(text, refusal);
    throw new EtcdError(reasonOf(code, path), `${this.#endpoint.host}: ${message}`);
  }

  /** Sends a request: without a body it is a GET. */
  #request(path: string, body: object | null, options: http.RequestOptions): Promise<IncomingMessage> {
    const { protocol } = this.#endpoint;
    const { request } = protocol === 'https:' ? https : http;
    return new Promise((resolve, reject) => {
      const text = body === null ? '' : JSON.stringify(body);
      const headers = {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
        ...(this.#token === null ? {} : { authorization: this.#token }),
      };
      const method = body === null ? 'GET' : 'POST';
      const running = request(
        new URL(path, this.#endpoint),
        { ...options, ...this.#tls, method, agent: this.#agent, headers },
        resolve,
      );
      running.on('error', error => reject(this.#error(error)));
      running.on('timeout', () =>
        running.destroy(
          new EtcdError('unreachable', `${this.#endpoint.host} did not answer within ${timeoutMs / 1000} s`),
        ),
      );
      running.end(text);
    });
  }

  #error(error: Error): EtcdError {
    return error instanceof EtcdError ? error : EtcdError.from(error, this.#endpoint.host);
  }
}

function parse<T extends v.GenericSchema>(text: string, schema: T): v.InferOutput<T> {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  if (result.success) return result.output;
  throw new EtcdError('failed', `an answer of etcd cannot be read: ${result.issues[0].message}`);
}

function readPem(name: 'ca' | 'cert' | 'key', path: string | null): https.AgentOptions {
  return path === null ? {} : { [name]: readSecret(path) };
}

function readSecret(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new EtcdError('file', `${path} cannot be read: ${(error as Error).message}`);
  }
  if (text.length > maxSecretLength)
    throw new EtcdError('file', `${path} is longer than ${maxSecretLength} characters`);
  return text;
}

function encode(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decodePair({ key, value, mod_revision: revision }: v.InferOutput<typeof pair>): Pair {
  const decode = (text: string) => Buffer.from(text, 'base64').toString('utf8');
  return { key: decode(key), value: decode(value), revision };
}

/** The range of the keys with a prefix ends before the next text of its length. */
function below(prefix: string) {
  const end = `${prefix.slice(0, -1)}${String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)}`;
  return { key: encode(prefix), range_end: encode(end) };
}

function encodeCompare({ key, revision }: Compare) {
  // A key that does not exist was created at revision 0, as the protocol says.
  return revision === null
    ? { key: encode(key), target: 'CREATE', result: 'EQUAL', create_revision: '0' }
    : { key: encode(key), target: 'MOD', result: 'EQUAL', mod_revision: `${revision}` };
}

function encodeOperation(operation: Operation) {
  const key = encode(operation.key);
  if (operation.value === null) return { request_delete_range: { key } };
  const lease = operation.lease === undefined ? {} : { lease: operation.lease };
  return { request_put: { key, value: encode(operation.value), ...lease } };
}
