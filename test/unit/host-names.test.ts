// host-names.test.ts: tests what the host's own resolver is told, and how the host's sources of names are judged.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { CommandError } from '../../src/errors.ts';
import { judgeHostNames, readHostNames } from '../../src/host-names/host-names.ts';
import { reverseZones } from '../../src/host-names/reverse-zones.ts';
import { planForgetting, planHostNames } from '../../src/network/plan-host-names.ts';
import type { System } from '../../src/system/system.ts';
import { network } from './builders.ts';

const hostNames = suite('host names');

hostNames('the reverse zones of a subnet hold its addresses and no other', () => {
  const zones = (subnet: string) => reverseZones(network(`subnet = ${subnet}`));
  assert.deepEqual(zones('192.168.100.0/24'), ['100.168.192.in-addr.arpa']);
  assert.deepEqual(zones('10.0.0.0/8'), ['10.in-addr.arpa']);
  assert.deepEqual(zones('172.16.0.0/15'), ['16.172.in-addr.arpa', '17.172.in-addr.arpa']);
  assert.deepEqual(
    zones('10.1.4.0/22'),
    [4, 5, 6, 7].map(octet => `${octet}.1.10.in-addr.arpa`),
  );
  const eight = [248, 249, 250, 251, 252, 253, 254, 255];
  assert.deepEqual(
    zones('10.1.4.248/29'),
    eight.map(octet => `${octet}.4.1.10.in-addr.arpa`),
  );
});

const told = {
  DNS: { type: 'a(iay)', data: [[2, [192, 168, 100, 1]]] },
  Domains: {
    type: 'a(sb)',
    data: [
      ['k8s-br0.internal', true],
      ['100.168.192.in-addr.arpa', true],
    ],
  },
  ...Object.fromEntries(
    ['DNSSEC', 'DNSOverTLS', 'LLMNR', 'MulticastDNS'].map(name => [name, { type: 's', data: 'no' }]),
  ),
  DefaultRoute: { type: 'b', data: false },
};

/** Returns a host with these files, whose systemd-resolved says this of the bridge; null for an unknown link. */
function hostWith(files: Readonly<Record<string, string>>, link: object | null, runs = true) {
  const all: Readonly<Record<string, string>> = {
    '/run/systemd/resolve': '',
    '/run/dbus/system_bus_socket': '',
    '/sys/class/net/k8s-br0/ifindex': '12\n',
    ...files,
  };
  const asked: string[] = [];
  const system: Pick<System, 'exists' | 'readFile' | 'isInstalled' | 'run'> = {
    exists: path => path in all,
    readFile: path => all[path] ?? null,
    isInstalled: () => true,
    async run(_program, args) {
      asked.push(args.join(' '));
      if (args.includes('NameHasOwner')) return JSON.stringify({ type: 'b', data: [runs] });
      if (link !== null && runs) return JSON.stringify({ type: 'a{sv}', data: [link] });
      throw new CommandError('busctl failed', { reason: 'failed', exitCode: 1, stderr: '' });
    },
  };
  return { asked, read: () => readHostNames(system as System, 'k8s-br0') };
}

const stub = { '/etc/resolv.conf': 'nameserver 127.0.0.53\n' };

hostNames('systemd-resolved is told what it does not know, and nothing where it knows it', async () => {
  const planned = async (link: object | null, runs = true, files = {}, ...lines: string[]) => {
    const lan = network(...lines);
    const reading = await hostWith(files, link, runs).read();
    return planHostNames(lan, reading).map(({ kind }) => kind);
  };
  assert.deepEqual(await planned(told), []);
  assert.deepEqual(await planned(null), ['tell resolved']);
  assert.deepEqual(await planned(null, false), [], 'it does not run');
  for (const change of [
    { DNS: { data: [] } },
    { DNS: { data: [[10, Array.from({ length: 16 }, () => 0)]] } },
    { Domains: { data: [['k8s-br0.internal', false]] } },
    { DNSSEC: { data: 'allow-downgrade' } },
    { LLMNR: { data: 'yes' } },
    { DefaultRoute: { data: true } },
  ])
    assert.deepEqual(await planned({ ...told, ...change }), ['tell resolved'], JSON.stringify(change));
  assert.deepEqual(await planned(told, true, {}, 'names = search'), ['tell resolved']);
  assert.deepEqual(await planned(told, true, {}, 'names = no'), ['revert resolved']);
  assert.deepEqual(await planned({ ...told, DNS: { data: [] } }, true, {}, 'names = no'), []);
  const managed = { '/run/systemd/netif/links/12': 'ADMIN_STATE=configured\n' };
  const unmanaged = { '/run/systemd/netif/links/12': 'ADMIN_STATE=unmanaged\n' };
  assert.deepEqual(await planned(null, true, managed), []);
  assert.deepEqual(await planned(null, true, unmanaged), ['tell resolved']);
  assert.deepEqual(
    planForgetting('k8s-br0', await hostWith({}, told).read()).map(({ kind }) => kind),
    ['revert resolved'],
  );
  assert.deepEqual(planForgetting('k8s-br0', await hostWith({}, null).read()), []);
});

hostNames('how the host finds names follows from what it asks and what that knows', async () => {
  const judged = async (files: Readonly<Record<string, string>>, link: object | null, ...lines: string[]) =>
    judgeHostNames(network(...lines), await hostWith(files, link).read());
  const nss = (hosts: string) => ({ '/etc/nsswitch.conf': `passwd: files\nhosts: ${hosts}\n` });
  assert.equal(await judged(stub, told), 'resolved');
  assert.equal(await judged(nss('files resolve [!UNAVAIL=return] dns'), told), 'resolved');
  assert.equal(await judged({}, told), 'resolved-not-asked');
  assert.equal(await judged(stub, null), 'not-found');
  assert.equal(await judged(nss('files libvirt libvirt_guest dns'), null), 'nss');
  assert.equal(await judged(nss('files dns'), null), 'not-found');
  assert.equal(await judged(stub, null, 'names = no'), 'off');
});

hostNames('no program runs on a host without systemd-resolved', async () => {
  const { asked, read } = hostWith({}, null);
  await read();
  assert(asked.length > 0 && asked.every(args => args.includes('--auto-start=no')), asked.join());
  const without: string[] = [];
  const system = { exists: () => false, readFile: () => null, run: async () => without.push('run') };
  await readHostNames(system as unknown as System, 'k8s-br0');
  assert.deepEqual(without, []);
});

hostNames.run();
