// The watcher with modular daemons: virtqemud for machines, virtnetworkd for networks.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { FrameReader } from 'node-libvirt/frame';
import { suite } from 'uvu';
import { formulaMacOf } from './formula-values.ts';
import { configure, define, domainXml, installVirlan, macsOf, startLibvirtd, virsh } from './host.ts';
import { errorLines, logLinesOf } from './log.ts';
import { until } from './until.ts';
import { answerOf, startWatcher } from './watcher.ts';

// Debian has no modular daemons. Each is replaced by a relay to libvirtd, which accepts qemu:///system and
// network:///system too. A relay can be stopped by itself.
const modular = suite('modular daemons');

/** REMOTE_PROC_DOMAIN_GET_XML_DESC */
const xmlDesc = 14;

/** The socket of a modular daemon. It exists, as under systemd, also while the daemon is stopped. */
class Relay {
  readonly #connections = new Set<Socket>();
  #isUp = false;
  /** Called for each call with its procedure; true closes the connection instead of relaying the call. */
  cutsAt: (procedure: number) => boolean = () => false;

  async listen(daemon: 'virtqemud' | 'virtnetworkd'): Promise<void> {
    const server = createServer(client => (this.#isUp ? this.#pass(client) : client.destroy()));
    await once(server.listen(`/run/libvirt/${daemon}-sock`), 'listening');
  }

  start(): void {
    this.#isUp = true;
  }

  stop(): void {
    this.#isUp = false;
    for (const connection of this.#connections) connection.destroy();
  }

  #pass(client: Socket): void {
    const daemon = connect('/run/libvirt/libvirt-sock');
    const calls = new FrameReader();
    this.#connections.add(client);
    client.on('data', chunk => {
      let isCut = false;
      calls.push(chunk, ({ procedure }) => {
        isCut ||= this.cutsAt(procedure);
      });
      if (isCut) client.destroy();
      else daemon.write(chunk);
    });
    daemon.on('data', chunk => void client.write(chunk));
    client.on('error', () => {}).on('close', () => daemon.destroy());
    daemon.on('error', () => {}).on('close', () => client.destroy());
    client.on('close', () => this.#connections.delete(client));
  }
}

const machines = new Relay();
const networks = new Relay();

async function hasFormulaMac(name: string): Promise<boolean> {
  return (await macsOf(name))[0] === formulaMacOf(name);
}

function defineMachine(name: string): Promise<void> {
  return define(domainXml({ name, nics: [{ type: 'network', source: 'k8s-br0' }] }));
}

/** Returns the watcher's connection to libvirt as its status and its metrics show it. */
async function shownConnection(): Promise<unknown[]> {
  const [, metric] = /^virlan_libvirt_connected (\d)$/m.exec(await answerOf('/metrics')) ?? [];
  return [JSON.parse(await answerOf('/status')).watcher.libvirt, metric];
}

/** Returns how often the watcher has connected to a daemon. */
function connectCount(daemon: string): number {
  return logLinesOf('libvirt-connected').filter(({ socket }) => socket === socketOf(daemon)).length;
}

function hasDisconnected(daemon: string): boolean {
  return logLinesOf('libvirt-disconnected').some(({ socket }) => socket === socketOf(daemon));
}

function socketOf(daemon: string): string {
  return `/run/libvirt/${daemon}-sock`;
}

modular('the watcher follows machines and networks over their own daemons', async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await machines.listen('virtqemud');
  await networks.listen('virtnetworkd');
  machines.start();
  networks.start();
  await startWatcher();
  await until(async () => /k8s-br0 +active +yes/.test(await virsh('net-list', '--all')));
  await until(async () => !/default/.test(await virsh('net-list', '--all')));
  await defineMachine('web');
  await until(() => hasFormulaMac('web'));
  assert.deepEqual(await shownConnection(), ['connected', '1']);
});

modular(
  'without virtnetworkd the watcher follows machines, and compares networks when it is back',
  async () => {
    const before = connectCount('virtnetworkd');
    networks.stop();
    await until(() => hasDisconnected('virtnetworkd'));
    assert.deepEqual(await shownConnection(), ['connected', '1']);
    await defineMachine('db');
    await until(() => hasFormulaMac('db'));
    await virsh('net-destroy', 'k8s-br0');
    networks.start();
    await until(() => connectCount('virtnetworkd') > before);
    await until(async () => /k8s-br0 +active/.test(await virsh('net-list', '--all')));
  },
);

modular(
  'without virtqemud the watcher reports libvirt as disconnected, also when virtnetworkd restarts',
  async () => {
    machines.stop();
    await until(() => hasDisconnected('virtqemud'));
    const before = connectCount('virtnetworkd');
    networks.stop();
    networks.start();
    await until(() => connectCount('virtnetworkd') > before);
    assert.deepEqual(await shownConnection(), ['disconnected', '0']);
    machines.start();
    await until(async () => (await shownConnection())[1] === '1');
    assert.deepEqual(await shownConnection(), ['connected', '1']);
  },
);

modular('a virtqemud that stops during a comparison does not cause an error for each machine', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `many${index}`);
  for (const name of names) await defineMachine(name);
  for (const name of names) await until(() => hasFormulaMac(name));
  machines.stop();
  // All machines, web and db included, are read once before the first is compared. The connection ends at the
  // third.
  let left = names.length + 2 + 2;
  machines.cutsAt = procedure => procedure === xmlDesc && left-- === 0;
  machines.start();
  await until(() => left < 0);
  await until(async () => (await shownConnection())[1] === '1');
  await defineMachine('last');
  await until(() => hasFormulaMac('last'));
  assert.deepEqual(errorLines(), []);
});

modular.run();
