// etcd-client.test.ts: tests the client of etcd against a server that speaks the JSON form of its API.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import { EtcdClient } from '../../src/shared-ledger/client.ts';
import type { Pair } from '../../src/shared-ledger/transaction.ts';
import { config } from './builders.ts';

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
  const server = createServer(async (request, response) => {
    const range: RangeRequest = JSON.parse(Buffer.concat(await request.toArray()).toString());
    requests.push(range);
    const found = keys.filter(key => key >= decode(range.key) && key < decode(range.range_end));
    const kvs = found
      .slice(0, Number(range.limit ?? keys.length))
      .map(key => ({ key: encode(key), value: encode(`of ${key}`), mod_revision: '7' }));
    // Others write meanwhile.
    const header = { revision: `${8 + requests.length}` };
    response.end(JSON.stringify({ header, kvs, more: kvs.length < found.length }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const cluster = `address = 10.0.0.1\npeers = etcd\netcd = http://127.0.0.1:${port}`;
  const { etcd } = config(`[network.k8s-br0]\nvni = 100\n[cluster]\n${cluster}`);
  assert(etcd);
  const connected = await EtcdClient.connect(`http://127.0.0.1:${port}`, etcd);
  try {
    await work(connected);
  } finally {
    connected.close();
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

client('a key that is no text does not stop the reading, wherever a page ends', async () => {
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

client.run();
