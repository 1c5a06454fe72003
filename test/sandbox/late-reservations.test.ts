// Reservations that follow changes of which libvirt sends no event of the machine itself, with the watcher. Nobody asks
// it to reconcile.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formatIp } from '../../src/address/ip.ts';
import { readLedger } from '../../src/identity/ledger-files.ts';
import { formulaMacOf } from './formula-values.ts';
import {
  configure,
  define,
  destroyMachine,
  dhcp,
  domainXml,
  guest,
  installVirlan,
  macsOf,
  remove,
  startLibvirtd,
  startMachine,
  undefine,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { answerOf, startWatcher, stopWatcher } from './watcher.ts';

const late = suite('late reservations');
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

interface Shown {
  readonly name: string;
  readonly nic: number;
  readonly ip: string | null;
  readonly hostname: string;
  readonly problem: string | null;
}

/** Returns a machine's NIC as the watcher's status shows it. */
async function shown(name: string, nic = 0): Promise<Shown | undefined> {
  const { networks } = JSON.parse(await answerOf('/status'));
  return networks[0].machines.find((each: Shown) => each.name === name && each.nic === nic);
}

/** Defines a machine whose metadata asks for something. */
function defineAsking(
  name: string,
  wishes: string,
  nic: { mac?: string; uuid?: string } = {},
): Promise<void> {
  const { uuid, mac } = nic;
  const metadata = `<virlan:machine xmlns:virlan="urn:virlan:machine:1" ${wishes}/>`;
  const on = { type: 'network', source: 'k8s-br0', ...(mac && { mac }) } as const;
  return define(domainXml({ name, nics: [on], metadata, ...(uuid && { uuid }) }));
}

function defineOn(name: string, source = 'k8s-br0'): Promise<void> {
  return define(domainXml({ name, nics: [{ type: 'network', source }] }));
}

async function ipOf(name: string): Promise<string> {
  let ip: string | null = null;
  await until(async () => {
    ({ ip = null } = (await shown(name)) ?? { ip: null });
    return ip !== null;
  });
  return ip ?? assert.fail();
}

late.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\ndhcp-range = 192.168.100.100-192.168.100.103\n');
  await startLibvirtd();
  await startWatcher();
  // libvirt's own `default` is removed: no machine refers to it.
  await until(async () => !(await virsh('net-list', '--all', '--name')).split('\n').includes('default'));
});

late(
  'a machine that is defined before the network that it names has its MAC when the network is there',
  async () => {
    await defineOn('early', 'default');
    await until(async () => (await macsOf('early'))[0] === formulaMacOf('early'));
    await defineOn('waiting', 'prod');
    const xml = "<network><name>prod</name><forward mode='bridge'/><bridge name='k8s-br0'/></network>";
    writeFileSync('/tmp/prod.xml', xml);
    await virsh('net-define', '/tmp/prod.xml');
    await until(async () => (await macsOf('waiting'))[0] === formulaMacOf('waiting'));
    assert.match(await ipOf('waiting'), /^192\.168\.100\.10[0-3]$/);
    for (const name of ['early', 'waiting']) await undefine(name);
  },
);

late('a machine without an address gets the one of a machine that is undefined', async () => {
  for (let number = 1; number <= 4; number++) {
    await defineOn(`full${number}`);
    await ipOf(`full${number}`);
  }
  await defineOn('fifth');
  await until(async () => /no address is free/.test((await shown('fifth'))?.problem ?? ''));
  await undefine('full1');
  assert.match(await ipOf('fifth'), /^192\.168\.100\.10[0-3]$/);
  for (const name of ['full2', 'full3', 'full4', 'fifth']) await undefine(name);
});

late(
  'a line by hand with the address of a machine gives it to the device, and the machine another',
  async () => {
    await defineOn('moved');
    const before = await ipOf('moved');
    const mac = '00:16:3e:00:00:42';
    appendFileSync(hostsfile, `${mac},${before},printer\n`);
    await until(async () => (await shown('moved'))?.ip !== before);
    const printer = await guest('printer', { mac });
    assert.equal(await dhcp(printer), before);
    await remove(printer);
    await undefine('moved');
  },
);

late(
  'a NIC that is attached to the definition of a machine that is off has its MAC and address',
  async () => {
    await defineOn('attached');
    await ipOf('attached');
    await virsh('attach-interface', 'attached', 'network', 'k8s-br0', '--model', 'virtio', '--config');
    await until(async () => (await macsOf('attached'))[1] === formulaMacOf('attached', 1), 3);
    await until(async () => (await shown('attached', 1))?.ip != null, 3);
    await undefine('attached');
  },
);

late('a machine gets what it asks for once another gives it up: a MAC, an address, names', async () => {
  const [mac, uuid] = ['02:00:00:00:00:42', '00000000-0000-4000-8000-000000000042'];
  await defineAsking('holder', 'ip="192.168.100.200" hostname="shop"', { mac, uuid });
  await ipOf('holder');
  await defineAsking('wants-mac', '', { mac });
  await defineAsking('wants-ip', 'ip="192.168.100.200"');
  await defineAsking('wants-name', 'hostname="shop"');
  const waiting = ['wants-mac', 'wants-ip', 'wants-name'];
  for (const name of waiting) await until(async () => (await shown(name))?.problem != null);
  await defineAsking('holder', 'ip="192.168.100.201"', { mac: '02:00:00:00:00:43', uuid });
  for (const name of waiting) await until(async () => (await shown(name))?.problem === null, 3);
  assert.match(await ipOf('wants-mac'), /^192\.168\.100\.10[0-3]$/);
  assert.equal(await ipOf('wants-ip'), '192.168.100.200');
  assert.equal((await shown('wants-name'))?.hostname, 'shop');
  for (const name of ['holder', ...waiting]) await undefine(name);
});

late('machines that ask for the addresses of each other have them once all are off', async () => {
  const ring = [1, 2, 3].map(number => ({
    name: `ring${number}`,
    uuid: `00000000-0000-4000-8000-00000000100${number}`,
  }));
  const ask = async (turns: number) => {
    for (const [place, { name, uuid }] of ring.entries())
      await defineAsking(name, `ip="192.168.100.${220 + ((place + turns) % 3)}"`, { uuid });
  };
  const have = (turns: number) => async () =>
    (await Promise.all(ring.map(({ name }) => shown(name)))).every(
      (each, place) => each?.problem === null && each.ip === `192.168.100.${220 + ((place + turns) % 3)}`,
    );
  await ask(0);
  await until(have(0));
  await startMachine('ring1');
  await ask(1);
  await until(async () => /is that of ring1/.test((await shown('ring3'))?.problem ?? ''));
  assert.equal((await shown('ring1'))?.ip, '192.168.100.220', 'it runs with that address');
  await destroyMachine('ring1');
  await until(have(1), 5);
  for (const { name } of ring) await undefine(name);
});

late('a NIC that is inserted before the first one leaves it its address and name', async () => {
  const [uuid, added] = ['00000000-0000-4000-8000-000000001010', '02:00:00:00:10:10'];
  const metadata = `<virlan:machine xmlns:virlan="urn:virlan:machine:1" ip="192.168.100.230" hostname="till"/>`;
  const defineWith = (...macs: readonly string[]) => {
    const nics = macs.map(mac => ({ type: 'network', source: 'k8s-br0', mac }) as const);
    return define(domainXml({ name: 'inserted', uuid, nics, metadata }));
  };
  const nics = async () => {
    const { networks } = JSON.parse(await answerOf('/status'));
    const own = networks[0].machines.filter((each: Shown) => each.name === 'inserted');
    return own.map(({ mac, ip, hostname, problem }: Shown & { mac: string }) => [
      mac,
      ip === '192.168.100.230',
      hostname === 'till',
      problem,
    ]);
  };
  const mac = formulaMacOf('inserted');
  await defineWith(mac);
  await until(async () => (await nics())[0]?.[1] === true);
  await startMachine('inserted');
  await destroyMachine('inserted');
  await defineWith(added, mac);
  await until(async () => (await nics()).length === 2);
  const expected = [
    [mac, true, true, null],
    [added, false, false, null],
  ];
  assert.deepEqual((await nics()).sort().reverse(), expected.sort().reverse());
  await defineWith(added);
  await until(async () => JSON.stringify(await nics()) === JSON.stringify([[added, true, true, null]]));
  await undefine('inserted');
});

late('a NIC that was taken out is not listed, and no forward leads to it', async () => {
  const uuid = '00000000-0000-4000-8000-000000001020';
  const forward = '<virlan:forward port="8443" to="443"/>';
  const metadata = `<virlan:machine xmlns:virlan="urn:virlan:machine:1">${forward}</virlan:machine>`;
  const defineWith = (...places: readonly number[]) => {
    const on = { type: 'network', source: 'k8s-br0' } as const;
    const nics = places.map(place => ({ ...on, mac: formulaMacOf('taken', place) }));
    return define(domainXml({ name: 'taken', uuid, nics, metadata }));
  };
  await defineWith(0, 1);
  await until(async () => (await shown('taken', 1))?.ip != null);
  const second = (await shown('taken', 1))?.ip;
  await defineWith(1);
  await until(async () => (await shown('taken', 0)) === undefined);
  assert.equal((await shown('taken', 1))?.ip, second, 'the other one keeps what it has');
  await startMachine('taken');
  await until(async () => (await virsh('domstate', 'taken')).includes('running'));
  await until(() =>
    execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).includes(`${second} . 443`),
  );
  await destroyMachine('taken');
  await defineWith(0, 1);
  await until(async () => (await shown('taken', 0))?.ip != null);
  await undefine('taken');
});

late('a problem that a line by hand was the cause of ends with the line', async () => {
  await defineOn('ignored');
  await ipOf('ignored');
  const [mac = ''] = await macsOf('ignored');
  appendFileSync(hostsfile, `${mac},ignore\n`);
  await until(async () => /tells dnsmasq to ignore its MAC/.test((await shown('ignored'))?.problem ?? ''));
  writeFileSync(hostsfile, readFileSync(hostsfile, 'utf8').replace(`${mac},ignore\n`, ''));
  await until(async () => (await shown('ignored'))?.problem === null);
});

late(
  'without a watcher, a machine gets the address of one that no longer exists, and its names later',
  async () => {
    const wishes = 'ip="192.168.100.210" hostname="till" aliases="api"';
    await defineAsking('gone', wishes);
    assert.equal(await ipOf('gone'), '192.168.100.210');
    await stopWatcher();
    await undefine('gone');
    await defineAsking('heir', wishes);
    await startMachine('heir');
    const heir = () => readLedger().named('k8s-br0', 'heir')[0];
    assert.equal(formatIp(heir()?.ip ?? assert.fail()), '192.168.100.210');
    await startWatcher();
    await until(() => heir()?.problem === null && heir()?.refusedAliases.length === 0, 5);
    assert.deepEqual([heir()?.hostname, heir()?.aliases], ['till', ['api']]);
    await destroyMachine('heir');
  },
);

late.run();
