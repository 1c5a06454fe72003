// A virtual address of keepalived moves between two machines that are guarded, and comes back.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { type GuardedGuest, guardedGuest, hook } from './guarded-guest.ts';
import {
  capture,
  checkout,
  configure,
  dhcp,
  host,
  installVirlan,
  run,
  serve,
  virlan,
  within,
} from './host.ts';
import { until } from './until.ts';

const keepalived = suite('keepalived');
/** The directory where setup.sh has unpacked its packages. */
const unpacked = `${checkout}/build/keepalived`;
const virtual = '192.168.100.251';
const macs = { one: '52:54:00:00:00:01', two: '52:54:00:00:00:02', client: '52:54:00:00:00:03' };
/** By machine: the port that it alone serves. */
const ports = { one: 7001, two: 7002 } as const;

type Name = keyof typeof ports;

type Machine = keyof typeof macs;

const machines: Record<Machine, GuardedGuest> = {} as never;
const running: ChildProcess[] = [];

/** Starts keepalived in a machine. The priority of `one` is the higher one. */
function start(name: Name, option: string): void {
  const instance = ['state BACKUP', 'interface eth0', 'virtual_router_id 51', 'advert_int 0.3', option];
  const priority = `priority ${name === 'one' ? 150 : 100}`;
  const global = `global_defs {\nrouter_id ${name}\nvrrp_version 3\n}`;
  const lines = ['vrrp_instance shop {', ...instance, priority, `virtual_ipaddress { ${virtual}/24 }`, '}'];
  const conf = `/tmp/keepalived-${name}.conf`;
  writeFileSync(conf, [global, ...lines, ''].join('\n'));
  const files = ['--pid', `/run/keepalived-${name}.pid`, '--vrrp_pid', `/run/vrrp-${name}.pid`];
  const args = ['--dont-fork', '--vrrp', '--use-file', conf, ...files];
  const [command, words] = within(machines[name], `${unpacked}/usr/sbin/keepalived`, args);
  const environment = { ...process.env, LD_LIBRARY_PATH: `${unpacked}/usr/lib/x86_64-linux-gnu` };
  running.push(spawn(command, words, { env: environment, stdio: ['ignore', 'ignore', 'inherit'] }));
}

/** Returns which machine the client finds at the virtual address. */
async function holder(): Promise<Name | null> {
  const targets = Object.values(ports).map(port => `tcp/${port}/${virtual}`);
  const agent = `${checkout}/test/sandbox/reach-agent.py`;
  const [one, two] = (await run(machines.client, 'python3', agent, ...targets)).split('\n');
  return one === 'open' ? 'one' : two === 'open' ? 'two' : null;
}

/** The machine that has the address loses its link, and gets it back. */
async function assertMoves(option = ''): Promise<void> {
  const wire = await capture(machines.client, 'eth0', 'ip proto 112');
  for (const name of ['one', 'two'] as const) start(name, option);
  await until(async () => (await holder()) === 'one', 60);
  await run(host, 'ip', 'link', 'set', machines.one.port, 'down');
  await until(async () => (await holder()) === 'two', 60);
  await run(host, 'ip', 'link', 'set', machines.one.port, 'up');
  await until(async () => (await holder()) === 'one', 60);
  await wire.seen(/> 224\.0\.0\.18: VRRPv3, Advertisement, .* prio 150/);
  await wire.stop();
}

/** Returns the addresses and MACs with which frames were dropped. */
async function denied(): Promise<string[]> {
  const sets = ['deny_mac', 'deny_addr4', 'deny_bridge', 'deny_type'];
  const lists = sets.map(set => run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', set));
  return (await Promise.all(lists)).flatMap(text => text.match(/"veth-\w+" \. [^ ]+/g) ?? []);
}

keepalived.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  for (const name of ['one', 'two', 'client'] as const) {
    machines[name] = await guardedGuest(name, { mac: macs[name] });
    await dhcp(machines[name]);
  }
  for (const name of ['one', 'two'] as const)
    await serve(machines[name], { proto: 'tcp', port: ports[name] });
});

keepalived.after.each(async () => {
  for (const process of running.splice(0)) {
    const ended = once(process, 'exit');
    process.kill();
    await ended;
  }
});

keepalived('with guard = others, an address moves that belongs to nobody', async () => {
  await assertMoves();
  assert.deepEqual(await denied(), []);
});

keepalived('with guard = others, it moves with the virtual MAC of VRRP as well', async () => {
  await assertMoves('use_vmac');
  assert.deepEqual(await denied(), []);
});

/** Starts the machines anew, with this element inside of their metadata, and with guard = strict. */
async function makeStrict(children: string): Promise<void> {
  for (const { machine } of Object.values(machines)) {
    await hook('stopped', machine);
    const metadata = `<v:machine xmlns:v='urn:virlan:machine:1' guard='strict'>${children}</v:machine>`;
    await hook('start', { ...machine, metadata });
  }
}

keepalived('with guard = strict, it moves where <allow> names it, and else it does not', async () => {
  await makeStrict(`<v:allow address='${virtual}'/>`);
  await assertMoves();
  assert.deepEqual(await denied(), []);
  await makeStrict('');
  await run(machines.client, 'ip', 'neighbour', 'flush', 'dev', 'eth0');
  assert.equal(await holder(), null);
  await until(async () => (await denied()).some(text => text === `"veth-one" . ${virtual}`));
});

keepalived.run();
