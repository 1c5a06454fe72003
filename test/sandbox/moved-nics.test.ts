// NICs that move between networks with their MACs, and NICs that share one MAC, with the watcher and real machines.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { Mac } from '../../src/address/mac.ts';
import { readLedger } from '../../src/identity/ledger-files.ts';
import { formulaMacOf } from './formula-values.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  leaseOf,
  macsOf,
  type Nic,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { succeeded } from './virlan-commands.ts';
import { idle, startWatcher } from './watcher.ts';

const moved = suite('moved NICs');
const uuid = (number: number) => `00000000-0000-4000-8000-00000000000${number}`;
const on = (source: string, mac?: string): Nic => ({ type: 'bridge', source, ...(mac && { mac }) });

interface Shown {
  readonly name: string;
  readonly mac: string;
  readonly ip: string | null;
  readonly tap: string | null;
  readonly problem: string | null;
}

/** Returns a machine of a network as `virlan status --json` shows it. */
async function shown(network: string, name: string): Promise<Shown> {
  const { networks } = JSON.parse(succeeded(await virlan('status', '--json')));
  const { machines } = networks.find((each: { name: string }) => each.name === network);
  return machines.find((each: Shown) => each.name === name) ?? assert.fail(JSON.stringify(machines));
}

moved('a NIC that is moved to another network boots with the address that is reserved there', async () => {
  await installVirlan();
  const lab = 'default-network = keep\nstp = no\nsubnet = 10.9.0.0/24\n';
  await configure(`[network.k8s-br0]\nstp = no\n[network.lab]\n${lab}`);
  await startLibvirtd();
  await startWatcher();
  // virlan keeps a MAC of this prefix.
  const mac = '02:00:00:aa:00:01';
  await define(domainXml({ name: 'web', uuid: uuid(1), nics: [on('k8s-br0', mac)] }));
  await startMachine('web');
  const first = await leaseOf(mac);
  await destroyMachine('web');
  await define(domainXml({ name: 'web', uuid: uuid(1), nics: [on('lab', mac)] }));
  await idle('web');
  const { ip, problem } = await shown('lab', 'web');
  assert.equal(problem, null);
  assert.match(ip ?? '', /^10\.9\.0\./);
  await startMachine('web');
  assert.equal((await leaseOf(mac, 40, 'lab')).ip, ip);
  assert.match((await shown('lab', 'web')).tap ?? '', /^vnet/);
  await assert.rejects(shown('k8s-br0', 'web'), 'it has nothing on the network that it left');
  await destroyMachine('web');
  await define(domainXml({ name: 'web', uuid: uuid(1), nics: [on('k8s-br0', mac)] }));
  await idle('web');
  assert.equal((await shown('k8s-br0', 'web')).ip, first.ip);
});

for (const type of ['bridge', 'network'] as const)
  moved(`a NIC that has booted keeps its MAC where it is moved to, as one of type ${type}`, async () => {
    const name = `booted-${type}`;
    const nic = (source: string, mac?: string): Nic => ({ type, source, ...(mac && { mac }) });
    await define(domainXml({ name, uuid: uuid(type.length), nics: [nic('k8s-br0')] }));
    await idle(name);
    const [mac = ''] = await macsOf(name);
    assert.equal(mac, formulaMacOf(name, 0));
    await startMachine(name);
    await destroyMachine(name);
    await define(domainXml({ name, uuid: uuid(type.length), nics: [nic('lab', mac)] }));
    await idle(name);
    const there = await shown('lab', name);
    assert.deepEqual([await macsOf(name), there.mac, there.problem], [[mac], mac, null]);
    await startMachine(name);
    assert.equal((await leaseOf(mac, 40, 'lab')).ip, there.ip);
    await destroyMachine(name);
    await undefine(name);
  });

moved('NICs that have booted keep their MACs when their networks are exchanged', async () => {
  const template = (networks: readonly string[], macs: readonly string[]) =>
    domainXml({
      name: 'uplinks',
      uuid: uuid(4),
      nics: networks.map((network, nic) => on(network, macs[nic])),
    });
  await define(template(['k8s-br0', 'lab'], []));
  await idle('uplinks');
  const macs = await macsOf('uplinks');
  const [first = '', second = ''] = macs;
  assert.equal(first, formulaMacOf('uplinks', 0));
  await startMachine('uplinks');
  await destroyMachine('uplinks');
  await define(template(['lab', 'k8s-br0'], macs));
  await idle('uplinks');
  assert.deepEqual(await macsOf('uplinks'), macs);
  await startMachine('uplinks');
  assert.equal((await leaseOf(first, 40, 'lab')).ip, (await shown('lab', 'uplinks')).ip);
  const { mac, ip, problem } = await shown('k8s-br0', 'uplinks');
  assert.deepEqual([mac, problem], [second, null]);
  assert.match(ip ?? '', /^192\.168\.100\./);
  await destroyMachine('uplinks');
  assert.deepEqual(await macsOf('uplinks'), macs);
});

moved('a NIC in the place of one that was moved with its MAC gets another MAC', async () => {
  await define(domainXml({ name: 'grown', uuid: uuid(5), nics: [on('k8s-br0')] }));
  await idle('grown');
  const [mac = ''] = await macsOf('grown');
  await startMachine('grown');
  await destroyMachine('grown');
  await define(domainXml({ name: 'grown', uuid: uuid(5), nics: [on('lab', mac), on('k8s-br0')] }));
  await idle('grown');
  const [kept, added] = await macsOf('grown');
  assert.deepEqual([kept, mac === added], [mac, false]);
});

for (const type of ['bridge', 'network'] as const)
  moved(
    `a NIC of type ${type} that is put into another network while it runs is reserved there`,
    async () => {
      const name = `live-${type}`;
      const mac = `02:00:00:aa:01:0${type.length}`;
      await define(domainXml({ name, nics: [{ type, source: 'k8s-br0', mac }] }));
      await idle(name);
      await startMachine(name);
      const source = `<source ${type}='lab'/><model type='virtio'/>`;
      writeFileSync('/tmp/nic.xml', `<interface type='${type}'><mac address='${mac}'/>${source}</interface>`);
      await virsh('update-device', name, '/tmp/nic.xml', '--live');
      const reserved = () => readFileSync('/var/lib/dnsmasq/lab/hostsfile', 'utf8').includes(mac);
      await until(async () => reserved(), 10);
      const { ip, problem } = await shown('lab', name);
      assert.equal(problem, null);
      assert.match(ip ?? '', /^10\.9\.0\./);
      await destroyMachine(name);
    },
  );

moved(
  'a NIC that libvirt isolates while its machine runs is recorded so, and no longer when it ends',
  async () => {
    const mac = '02:00:00:aa:02:01';
    await define(domainXml({ name: 'apart', nics: [on('k8s-br0', mac)] }));
    await idle('apart');
    await startMachine('apart');
    const update = async (port: string) => {
      const inside = `<mac address='${mac}'/><source bridge='k8s-br0'/><model type='virtio'/>${port}`;
      writeFileSync('/tmp/nic.xml', `<interface type='bridge'>${inside}</interface>`);
      await virsh('update-device', 'apart', '/tmp/nic.xml', '--live');
    };
    const isRecorded = () =>
      readLedger()
        .withMacOn('k8s-br0', mac as Mac)
        .map(({ isolated }) => isolated);
    assert.deepEqual(isRecorded(), [false]);
    await update(`<port isolated='yes'/>`);
    await until(() => isRecorded()[0] === true, 10);
    await update('');
    await until(() => isRecorded()[0] === false, 10);
    await destroyMachine('apart');
  },
);

moved(
  'the MAC that a NIC shares with one on another bridge stays as it is, and so does the other',
  async () => {
    await execa('ip', ['link', 'add', 'lan0', 'type', 'bridge']);
    await execa('ip', ['link', 'set', 'lan0', 'up']);
    const pair = '52:54:00:aa:00:01';
    const nics = [on('lan0', pair), on('k8s-br0', pair), on('k8s-br0', '52:54:00:aa:00:02')];
    await define(domainXml({ name: 'pair', uuid: uuid(2), nics }));
    const second = formulaMacOf('pair', 1);
    await until(async () => (await macsOf('pair'))[2] === second, 30);
    assert.deepEqual(await macsOf('pair'), [pair, pair, second]);
    const { mac, ip, problem } = await shown('k8s-br0', 'pair');
    assert.deepEqual([mac, problem], [pair, null]);
    assert.match(ip ?? '', /^192\.168\.100\./);
  },
);

moved('the MAC of a NIC with <teaming> stays as it is', async () => {
  const mac = '52:54:00:aa:00:03';
  const xml = domainXml({ name: 'teamed', uuid: uuid(3), nics: [on('k8s-br0', mac)] });
  await define(xml.replace("<model type='virtio'/>", "<model type='virtio'/><teaming type='persistent'/>"));
  await idle('teamed');
  assert.deepEqual(await macsOf('teamed'), [mac]);
});

moved.run();
