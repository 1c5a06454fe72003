// A machine that migrates between hosts while it runs: real libvirtd, QEMU, etcd and a Linux guest. Its connections,
// address, names, forwards and guard follow it, and come back where the migration fails.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { MachineStatus } from '../../src/report/machines.ts';
import { type ClusterHost, makeUnderlay, plug } from '../sandbox/cluster-hosts.ts';
import { type Guest, installVirlan, type Namespace, run, within } from '../sandbox/host.ts';
import { makeInitramfs, networkModules } from '../sandbox/initramfs.ts';
import { checkout } from '../sandbox/virlan.ts';
import { startEtcd } from './etcd.ts';
import {
  at,
  define,
  elsewhere,
  hosts,
  linuxXml,
  machine,
  resolvesOn,
  startHosts,
  startLibvirtd,
  until,
  virsh,
} from './shared-hosts.ts';

const migration = suite('migration');

const initrd = '/srv/migration/initrd';

let web: MachineStatus;
/** A machine on the third host. */
let client: Guest;
const outsider = { name: 'outsider' };
let connection: Connection;

/** A TCP connection to port 7 of the machine, which sends back what it receives. */
class Connection {
  readonly #process: ChildProcess;
  #received = '';

  constructor(from: Namespace, ip: string) {
    this.#process = spawn(...within(from, 'busybox', ['nc', ip, '7']), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#received += text;
    });
  }

  /** Sends a line and resolves when it has come back. */
  async echo(line: string): Promise<void> {
    assert(this.#process.exitCode === null, 'the connection has ended');
    this.#process.stdin?.write(`${line}\n`);
    await until(async () => this.#received.endsWith(`${line}\n`));
  }
}

/** Returns what a TCP port answers; empty for a port that is closed. */
async function answerOf(from: Namespace, ip: string, port: number): Promise<string> {
  const { stdout } = await execa(...within(from, 'busybox', ['nc', '-w', '2', ip, `${port}`]), {
    input: '',
    reject: false,
  });
  return stdout;
}

function migrate(from: ClusterHost, to: ClusterHost, ...options: readonly string[]): Promise<string> {
  const uris = [`qemu+tcp://${to.address}/system`, '--migrateuri', `tcp://${to.address}`];
  return virsh(from, 'migrate', '--live', '--p2p', ...options, 'web', ...uris);
}

interface LogLine {
  time: string;
  level: number;
  code: string;
  machine?: string;
  msg: string;
}

/** The least level of a warning in the log. */
const warningLevel = 40;

/** Returns the warnings and failures that hosts have logged about the machine, or about steps, since a time. */
async function complaints(since: Date): Promise<string[]> {
  const logs = await Promise.all(hosts.map(host => host.run('cat', '/var/log/virlan.log')));
  return logs
    .flatMap(log => log.split('\n').filter(line => line !== ''))
    .map(line => JSON.parse(line) as LogLine)
    .filter(({ time, level }) => new Date(time) >= since && level >= warningLevel)
    .filter(({ machine: name, code }) => name === 'web' || code === 'step-failed')
    .map(({ msg }) => msg);
}

/** Checks that all that belongs to the machine is on one host, and nothing of it on the other. */
async function assertOn(host: ClusterHost, other: ClusterHost): Promise<void> {
  const identity = ({ ip, mac, hostname }: MachineStatus) => ({ ip, mac, hostname });
  await until(async () => (await elsewhere(other, 'web'))?.host === host.address);
  const here = await machine(host, 'web');
  assert(here !== null);
  assert.deepEqual(identity(here), identity(web));
  assert.equal(here.problem, null);
  assert.equal(here.state, 'running');
  assert.equal((await elsewhere(at(2), 'web'))?.host, host.address);
  await resolvesOn(hosts, 'web', web.ip);
  await until(async () => (await answerOf(outsider, host.address, 8080)) === web.ip);
  await until(async () => (await answerOf(outsider, other.address, 8080)) === '');
  const bindings = (on: ClusterHost) => on.run('sh', '-c', 'ls /run/virlan/guard || true');
  assert.match(await bindings(host), /vnet/);
  assert.doesNotMatch(await bindings(other), /vnet/);
}

migration.before(async () => {
  await installVirlan();
  mkdirSync('/srv/migration', { recursive: true });
  await makeInitramfs(initrd, {
    files: {
      '/init': `${checkout}/test/cluster/migrating-guest.sh`,
      '/start.sh': `${checkout}/test/sandbox/guest-start.sh`,
      '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh`,
    },
    modules: networkModules,
  });
  await makeUnderlay();
  await startEtcd();
  await startHosts();
  for (const host of [at(0), at(1)]) await startLibvirtd(host);
  await execa('ip', ['netns', 'add', outsider.name]);
  await plug(outsider, '10.0.0.100');

  const metadata =
    '<virlan:machine xmlns:virlan="urn:virlan:machine:1"><virlan:forward port="8080" to="80"/></virlan:machine>';
  const machine = { name: 'web', nics: [{ type: 'bridge' as const, source: 'k8s-br0' }], metadata };
  web = await define(at(0), 'web', linuxXml(machine, initrd, 256));
  assert(web.ip);
  await virsh(at(0), 'start', 'web');
  client = await at(2).machine('client', '52:54:00:00:0a:01');
  await until(async () => (await elsewhere(at(0), 'client')) !== null);
  const { ip } = (await elsewhere(at(0), 'client')) ?? {};
  await run(client, 'ip', 'address', 'add', `${ip}/24`, 'dev', 'eth0');
  await until(async () => (await answerOf(client, web.ip ?? '', 80)) === web.ip, 120);
  connection = new Connection(client, web.ip);
  await connection.echo('before');
});

migration('a machine on its first host is reached from another one and by its forward', async () => {
  await assertOn(at(0), at(1));
});

migration('a machine that migrates keeps its connections, address, names, forwards and guard', async () => {
  const began = new Date();
  await migrate(at(0), at(1), '--persistent', '--undefinesource');
  await connection.echo('after the first migration');
  await assertOn(at(1), at(0));
  assert.equal(await machine(at(0), 'web'), null);
  assert.deepEqual(await complaints(began), []);
});

migration('its new host renews its lease with the same address', async () => {
  const leases = () => at(1).run('cat', '/var/lib/dnsmasq/k8s-br0/leases');
  assert.equal((await leases()).includes(web.mac), false);
  await answerOf(client, web.ip ?? '', 9);
  await until(async () => new RegExp(`${web.mac} ${web.ip} web`).test(await leases()));
  await connection.echo('after the renewal');
});

migration('a migration that is cancelled leaves all where it was', async () => {
  const began = new Date();
  const failed = migrate(at(1), at(0), '--persistent', '--undefinesource', '--bandwidth', '1').then(
    () => 'migrated',
    () => 'cancelled',
  );
  await until(async () => (await at(0).run('virsh', 'list', '--all', '--name')).includes('web'));
  await until(async () => /Data processed/.test(await virsh(at(1), 'domjobinfo', 'web')));
  await connection.echo('during the migration');
  await virsh(at(1), 'domjobabort', 'web');
  assert.equal(await failed, 'cancelled');
  await connection.echo('after the cancelled migration');
  await assertOn(at(1), at(0));
  assert.equal(await machine(at(0), 'web'), null);
  assert.deepEqual(await complaints(began), []);
});

migration("a machine that keeps its definition on the host that it leaves is the other host's", async () => {
  await migrate(at(1), at(0), '--persistent');
  await connection.echo('after the second migration');
  await assertOn(at(0), at(1));
  assert.equal((await machine(at(1), 'web'))?.state, 'shut off');
});

migration.after(async () => {
  for (const host of hosts) await host.stop();
});

migration.run();
