import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { FrameReader } from 'node-libvirt/frame';
import { suite } from 'uvu';
import { formulaMac } from '../../src/identity/formula.ts';
import { logLines } from './hook-calls.ts';
import { configure, define, domainXml, installVirlan, macsOf, startLibvirtd, virsh } from './host.ts';
import { get, startWatcher, until } from './watcher.ts';

// Debian has no modular daemons. A relay to libvirtd, which opens qemu:///system and network:///system just as well,
// is what the watcher and virsh see of one, and can go alone.
const modular = suite('modular');

/** REMOTE_PROC_DOMAIN_GET_XML_DESC */
const xmlDesc = 14;

/** The socket of a modular daemon. It stays, as systemd keeps it, while the daemon comes and goes. */
class Relay {
  readonly #connections = new Set<Socket>();
  #isUp = false;
  /** Asked for each call with its procedure; true ends its connection instead of passing it on. */
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

const hasFormulaMac = async (name: string) =>
  (await macsOf(name))[0] === formulaMac({ network: 'k8s-br0', machine: name, nic: 0 }, () => false);

const defineMachine = (name: string) =>
  define(domainXml({ name, nics: [{ type: 'network', source: 'k8s-br0' }] }));

/** What the watcher says of libvirt: in its status, and in its figures. */
async function said(): Promise<unknown[]> {
  const [, figure] = /^virlan_libvirt_connected (\d)$/m.exec((await get('/metrics')) ?? '') ?? [];
  return [JSON.parse((await get('/status')) ?? '{}').watcher?.libvirt, figure];
}

const logged = (message: RegExp) => logLines().filter(({ msg }) => message.test(String(msg)));
const connections = (daemon: string) =>
  logged(/^libvirt connected$/).filter(({ socket }) => socket === `/run/libvirt/${daemon}-sock`).length;

modular('machines and networks are followed, each over its own daemon', async () => {
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
  assert.deepEqual(await said(), ['connected', '1']);
});

modular(
  'without virtnetworkd machines are followed; what became of networks is seen when it is back',
  async () => {
    const before = connections('virtnetworkd');
    networks.stop();
    await until(() => logged(/^libvirt disconnected: .*virtnetworkd-sock/).length > 0);
    assert.deepEqual(await said(), ['connected', '1']);
    await defineMachine('db');
    await until(() => hasFormulaMac('db'));
    await virsh('net-destroy', 'k8s-br0');
    networks.start();
    await until(() => connections('virtnetworkd') > before);
    await until(async () => /k8s-br0 +active/.test(await virsh('net-list', '--all')));
  },
);

modular('without virtqemud libvirt is not connected, whatever virtnetworkd does', async () => {
  machines.stop();
  await until(() => logged(/^libvirt disconnected: .*virtqemud-sock/).length > 0);
  const before = connections('virtnetworkd');
  networks.stop();
  networks.start();
  await until(() => connections('virtnetworkd') > before);
  assert.deepEqual(await said(), ['disconnected', '0']);
  machines.start();
  await until(async () => (await said())[1] === '1');
  assert.deepEqual(await said(), ['connected', '1']);
});

modular('a virtqemud that goes in the middle of a comparison is no error for each machine', async () => {
  const names = Array.from({ length: 10 }, (_, index) => `many${index}`);
  for (const name of names) await defineMachine(name);
  for (const name of names) await until(() => hasFormulaMac(name));
  machines.stop();
  // Web, db and these are all read once before the first is looked at. The connection ends at the third.
  let left = names.length + 2 + 2;
  machines.cutsAt = procedure => procedure === xmlDesc && left-- === 0;
  machines.start();
  await until(() => left < 0);
  await until(async () => (await said())[1] === '1');
  await defineMachine('last');
  await until(() => hasFormulaMac('last'));
  assert.deepEqual(
    logLines().filter(({ level }) => level === 50),
    [],
  );
});

modular.run();
