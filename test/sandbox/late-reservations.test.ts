// Reservations that follow changes of which libvirt sends no event of the machine itself, with the watcher. Nobody asks
// it to reconcile.
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaMacOf } from './formula-values.ts';
import {
  configure,
  define,
  dhcp,
  domainXml,
  guest,
  installVirlan,
  macsOf,
  remove,
  startLibvirtd,
  undefine,
  virsh,
} from './host.ts';
import { until } from './until.ts';
import { answerOf, startWatcher } from './watcher.ts';

const late = suite('late reservations');
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

interface Shown {
  readonly name: string;
  readonly ip: string | null;
  readonly problem: string | null;
}

/** Returns a machine as the watcher's status shows it. */
async function shown(name: string): Promise<Shown | undefined> {
  const { networks } = JSON.parse(await answerOf('/status'));
  return networks[0].machines.find((each: Shown) => each.name === name);
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

late('a problem that a line by hand was the cause of ends with the line', async () => {
  await defineOn('ignored');
  await ipOf('ignored');
  const [mac = ''] = await macsOf('ignored');
  appendFileSync(hostsfile, `${mac},ignore\n`);
  await until(async () => /tells dnsmasq to ignore its MAC/.test((await shown('ignored'))?.problem ?? ''));
  writeFileSync(hostsfile, readFileSync(hostsfile, 'utf8').replace(`${mac},ignore\n`, ''));
  await until(async () => (await shown('ignored'))?.problem === null);
});

late.run();
