// Machines that take up the name server of a network: the names of the others are found all the same.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import { type GuardedGuest, guardedGuest } from './guarded-guest.ts';
import {
  checkout,
  configure,
  dhcp,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  type Namespace,
  run,
  virlan,
  within,
} from './host.ts';
import { until } from './until.ts';
import { plannedSteps } from './virlan-commands.ts';

const flooded = suite('DNS, flooded');
const gateway = '192.168.100.1';
const gatewayName = 'gateway.k8s-br0.internal';
/** Addresses that belong to nobody: with `guard = others`, each machine may use them. */
const free = Array.from({ length: 6 }, (_, index) => `192.168.100.${240 + index}`);
/** dnsmasq keeps a question that nobody answers for so long. */
const keptMs = 10_000;

let outside: Linked;
let eve: GuardedGuest;
let bob: GuardedGuest;
let upstream: ChildProcess;
let ownOfEve = '';

function start(from: Namespace, script: string, ...args: string[]): ChildProcess {
  return spawn(...within(from, process.execPath, [`${checkout}/test/sandbox/${script}`, ...args]), {
    stdio: 'inherit',
  });
}

async function stop(process: ChildProcess): Promise<void> {
  const ended = once(process, 'exit');
  process.kill();
  await ended;
}

/** Asks from bob as often as this a second. Returns how many questions were answered. */
async function answered(protocol: 'udp' | 'tcp', name: string, rate: number, count: number): Promise<number> {
  const args = [protocol, gateway, name, `${rate}`, `${count}`];
  return Number(await run(bob, process.execPath, `${checkout}/test/sandbox/dns-burst.mjs`, ...args));
}

async function up(): Promise<void> {
  const section = ['[network.k8s-br0]', 'stp = no', 'dhcp-range = 192.168.100.2-192.168.100.200', ''];
  await configure(section.join('\n'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
}

flooded.before(async () => {
  // As systemd starts dnsmasq: it opens a socket for each question that it waits for, up to a third of this number.
  await run(host, 'prlimit', '--pid', `${process.pid}`, '--nofile=1024');
  await installVirlan();
  outside = await internet();
  upstream = start(outside, 'dns-upstream.mjs');
  await up();
  eve = await guardedGuest('eve', { mac: '52:54:00:00:00:0e' });
  bob = await guardedGuest('bob', { mac: '52:54:00:00:00:0b' });
  ownOfEve = await dhcp(eve);
  await dhcp(bob);
  for (const address of free) await run(eve, 'ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
  await until(
    async () => (await ask(outside, internetAddress, 'A a.example.com'))['A a.example.com'] !== 'ETIMEOUT',
  );
});

flooded.after(() => {
  upstream.kill();
});

flooded(
  'a flood of questions that nobody answers: others find names of the outside, and of machines',
  async () => {
    const flood = start(eve, 'dns-flood.mjs', 'udp', gateway, '500', ownOfEve, ...free);
    await setTimeout(keptMs + 2000);
    const found = await answered('udp', '#.one.example.com', 20, 60);
    const local = await answered('udp', gatewayName, 20, 60);
    await stop(flood);
    assert(found >= 54 && local >= 54, `${found} and ${local} of 60`);
  },
);

flooded('a machine that asks 400 times a second gets all answers', async () => {
  const count = 2000;
  const found = await answered('udp', '#.two.example.com', 400, count);
  assert(found >= 0.99 * count, `${found} of ${count}`);
});

flooded('connections that ask nothing leave TCP to the others, and are not drift', async () => {
  const flood = start(eve, 'dns-flood.mjs', 'tcp', gateway, '30', ownOfEve, ...free);
  await setTimeout(3000);
  const found = await answered('tcp', gatewayName, 20, 20);
  // Beyond the limit, a connection is made at the second or third attempt.
  const atOnce = await answered('tcp', gatewayName, 1000, 12);
  const planned = await plannedSteps();
  await stop(flood);
  assert.deepEqual([found, atOnce, planned], [20, 12, []]);
});

flooded.run();
