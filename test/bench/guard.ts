// guard.ts: measures what the guard costs the packets of machines.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { execa } from 'execa';
import { type GuardedGuest, guardedGuest } from '../sandbox/guarded-guest.ts';
import {
  configure,
  dhcp,
  internet,
  internetAddress,
  type Namespace,
  virlan,
  within,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';

/** A time for each of two sides, measured alternately. */
export type Compare = (
  what: string,
  against: string,
  atMost: number,
  runs: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
) => Promise<void>;

const port = 7000;
export const megabytes = 2000;
const runs = 9;
/** A throughput of 0.97 at least. */
export const atMostForThroughput = 1 / 0.97;

async function up(guard: string): Promise<void> {
  await configure(`[network.k8s-br0]\nstp = no\ndefault-network = keep\nguard = ${guard}\n`);
  assert.equal((await virlan('up')).exitCode, 0);
}

const receive = `
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
peer, _ = server.accept()
total = 0
while data := peer.recv(1 << 20):
    total += len(data)
print(total, flush=True)
`;
const transmit = `
import socket, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
block = bytes(1 << 20)
for _ in range(int(sys.argv[3])):
    peer.sendall(block)
`;

/** Returns the milliseconds that a transfer by TCP takes. */
export async function timeTransfer(from: Namespace, to: Namespace, address: string): Promise<number> {
  const receiver = spawn(...within(to, 'python3', ['-c', receive, String(port)]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(receiver, 'close');
  let output = '';
  receiver.stdout.on('data', text => {
    output += text;
  });
  await until(() => output.includes('ready'));
  const began = performance.now();
  await execa(...within(from, 'python3', ['-c', transmit, address, String(port), String(megabytes)]));
  await ended;
  const time = performance.now() - began;
  assert.equal(output, `ready\n${megabytes * 2 ** 20}\n`);
  return time;
}

/** Compares transfers with the guard and without it, and with 500 guarded machines and one. */
export async function benchGuard(compare: Compare): Promise<void> {
  await up('others');
  const outside = await internet();
  const guests: GuardedGuest[] = [];
  for (const [name, mac] of [
    ['one', '52:54:00:00:01:01'],
    ['two', '52:54:00:00:01:02'],
  ] as const)
    guests.push(await guardedGuest(name, { mac }));
  const [one, two] = guests;
  assert(one !== undefined && two !== undefined);
  const address = await dhcp(two);
  await dhcp(one);
  const timed = (guard: string, to: Namespace, ip: string) => async () => {
    await up(guard);
    return timeTransfer(one, to, ip);
  };
  const what = (way: string) => `${megabytes} MB of TCP, ${way}, guard = others`;
  await compare(
    what('machine → machine'),
    'guard = no',
    atMostForThroughput,
    runs,
    timed('others', two, address),
    timed('no', two, address),
  );
  await compare(
    what('machine → outside'),
    'guard = no',
    atMostForThroughput,
    runs,
    timed('others', outside, internetAddress),
    timed('no', outside, internetAddress),
  );
  await up('others');
  const many = Array.from({ length: 500 }, (_, index) => index);
  const hexes = many.map(index => `0x5254010${(0x10000 + index).toString(16)}`);
  const table = 'bridge virlan-k8s-br0';
  const sets: readonly (readonly [name: string, elements: readonly string[]])[] = [
    ['ports', many.map(index => `"vnet${index}" : goto others`)],
    ['macs', hexes],
    ['own_macs', many.map(index => `"vnet${index}" . ${hexes[index]}`)],
    ['addr4', many.map(index => `10.1.${index >> 8}.${index & 255}`)],
    ['own4', many.map(index => `"vnet${index}" . 10.1.${index >> 8}.${index & 255}`)],
  ];
  const change = (verb: string) =>
    execa('nft', ['-f', '-'], {
      input: sets.map(([name, all]) => `${verb} element ${table} ${name} { ${all.join(', ')} }\n`).join(''),
    });
  await compare(
    `${megabytes} MB of TCP, machine → machine, 500 machines guarded`,
    'two machines guarded',
    atMostForThroughput,
    runs,
    async () => {
      await change('add');
      const time = await timeTransfer(one, two, address);
      await change('delete');
      return time;
    },
    () => timeTransfer(one, two, address),
  );
  for (const { port: link } of [one, two, outside]) await execa('ip', ['link', 'delete', link]);
}
