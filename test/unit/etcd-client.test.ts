// etcd-client.test.ts: tests the client of etcd against a server that speaks the JSON form of its API.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import type { EtcdConfig } from '../../src/config/config.ts';
import { EtcdClient } from '../../src/shared-ledger/client.ts';
import { EtcdError } from '../../src/shared-ledger/etcd-error.ts';
import { Session } from '../../src/shared-ledger/session.ts';
import type { Pair } from '../../src/shared-ledger/transaction.ts';
import { config, ip } from './builders.ts';

const client = suite('client of etcd');

/** A character stands for a byte: keys need not be UTF-8. */
const encode = (bytes: string) => Buffer.from(bytes, 'latin1').toString('base64');
const decode = (text: string) => Buffer.from(text, 'base64').toString('latin1');

interface RangeRequest {
  readonly key: string;
  readonly range_end: string;
  readonly limit?: string;
  readonly revision?: string;
}

/** Calls `work` with a client of a server that has these keys, sorted, and collects the requests. */
async function withServer(
  keys: readonly string[],
  requests: RangeRequest[],
  work: (client: EtcdClient) => Promise<void>,
): Promise<void> {
  await served(async (request, response) => {
    const range: RangeRequest = JSON.parse(Buffer.concat(await request.toArray()).toString());
    requests.push(range);
    const found = keys.filter(key => key >= decode(range.key) && key < decode(range.range_end));
    const kvs = found
      .slice(0, Number(range.limit ?? keys.length))
      .map(key => ({ key: encode(key), value: encode(`of ${key}`), mod_revision: '7' }));
    // Others write meanwhile.
    const header = { revision: `${8 + requests.length}` };
    response.end(JSON.stringify({ header, kvs, more: kvs.length < found.length }));
  }, work);
}

/** Calls `work` with a client of a server, its address and the configuration. */
async function served(
  answer: RequestListener,
  work: (client: EtcdClient, endpoint: string, etcd: EtcdConfig) => Promise<void>,
): Promise<void> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  const cluster = `address = 10.0.0.1\npeers = etcd\netcd = ${endpoint}`;
  const { etcd } = config(`[network.k8s-br0]\nvni = 100\n[cluster]\n${cluster}`);
  assert(etcd);
  const connected = await EtcdClient.connect(endpoint, etcd);
  try {
    await work(connected, endpoint, etcd);
  } finally {
    connected.close();
    server.closeAllConnections();
    server.close();
  }
}

client('many keys are read some at a time, each once, as they were at one revision', async () => {
  const keys = Array.from(
    { length: 12_345 },
    (_, number) => `/virlan/1/machine/${`${number}`.padStart(6, '0')}`,
  );
  const requests: RangeRequest[] = [];
  await withServer([...keys, '/virlan/2/else'], requests, async connected => {
    const read: Pair[] = [];
    const sizes: number[] = [];
    const revision = await connected.read('/virlan/1/', pairs => {
      sizes.push(pairs.length);
      read.push(...pairs);
    });
    assert.equal(revision, 9);
    assert.deepEqual(
      read.map(({ key }) => key),
      keys,
    );
    assert.equal(read[0]?.value, `of ${keys[0]}`);
    assert(Math.max(...sizes) <= 5000, `${sizes}`);
  });
  assert.deepEqual(
    requests.map(({ revision }) => revision),
    [undefined, '9', '9'],
  );
});

client('a key that is not a text does not stop the reading, wherever a page ends', async () => {
  const odd = Array.from({ length: 12_345 }, (_, number) => `/virlan/1/\xff${`${number}`.padStart(6, '0')}`);
  const requests: RangeRequest[] = [];
  await withServer(odd, requests, async connected => {
    let count = 0;
    await connected.read('/virlan/1/', pairs => {
      count += pairs.length;
      assert(requests.length <= 3, 'a page is read again');
    });
    assert.equal(count, odd.length);
  });
});

client('a prefix without keys is read, too', async () => {
  await withServer([], [], async connected => {
    const taken: number[] = [];
    await connected.read('/virlan/1/', pairs => taken.push(pairs.length));
    assert.deepEqual(taken, [0]);
  });
});

client('a watch whose connection is lost ends with the kind of the failure and the address', async () => {
  const cutOff: RequestListener = (_, response) => {
    response.write('{"result": {"created": true}}\n', () => response.destroy());
  };
  await served(cutOff, async (connected, endpoint) => {
    const watch = connected.watch('/virlan/1/', 1, () => {}, new AbortController().signal);
    await assert.rejects(watch, (error: unknown) => {
      assert(error instanceof EtcdError);
      assert.equal(error.reason, 'unreachable');
      assert(error.message.startsWith(new URL(endpoint).host), error.message);
      return true;
    });
  });
});

client('a session that is ended for a reason ends with that reason', async () => {
  const answers: Readonly<Record<string, object>> = {
    '/v3/kv/range': { header: { revision: '1' } },
    '/v3/lease/grant': { ID: '7' },
    '/v3/kv/txn': { header: { revision: '1' }, succeeded: true },
  };
  // A watch is not answered.
  const answer: RequestListener = ({ url = '' }, response) => {
    if (answers[url] !== undefined) response.end(JSON.stringify(answers[url]));
  };
  const member = { host: ip('10.0.0.1'), network: 'k8s-br0' };
  await served(answer, async (_, endpoint, etcd) => {
    const reason = new EtcdError('auth', 'the password was changed');
    const events = { began: (session: Session) => session.end(reason), changed: () => {} };
    const about = { member, prefix: '/virlan/1/', machine: 'mark' };
    const run = Session.run(endpoint, etcd, about, events, new AbortController().signal);
    await assert.rejects(run, (error: unknown) => error === reason);
  });
});

client.run();
