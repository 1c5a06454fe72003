// Aliases: further names of a machine, from its metadata, also while it runs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import {
  configure,
  create,
  define,
  destroyMachine,
  dhcp,
  domainXml,
  type Guest,
  guest,
  installVirlan,
  leaseOf,
  leases,
  macsOf,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from './host.ts';
import { logLines } from './log.ts';
import { until } from './until.ts';
import { ipOf, plannedSteps, succeeded } from './virlan-commands.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const aliases = suite('aliases');
const gateway = '192.168.100.1';
const domain = 'k8s-br0.internal';
const namespace = 'urn:virlan:machine:1';

let client: Guest;

function machineXml(name: string, list: string): string {
  const metadata = `<virlan:machine xmlns:virlan="${namespace}" aliases="${list}"/>`;
  return domainXml({ name, nics: [{ type: 'bridge', source: 'k8s-br0' }], metadata });
}

async function defineMachine(name: string, list: string): Promise<void> {
  await define(machineXml(name, list));
  await idle(name);
}

/** Changes the aliases of a running machine. */
async function setAliases(name: string, list: string, tag = 'machine'): Promise<void> {
  const element = `<${tag} aliases="${list}"/>`;
  const options = ['--uri', namespace, '--key', 'virlan', '--set', element, '--live', '--config'];
  await virsh('metadata', '--domain', name, ...options);
  await idle(name);
}

async function addresses(...names: string[]): Promise<string[]> {
  return Object.values(await ask(client, gateway, ...names.map(name => `A ${name}`)));
}

interface Network {
  readonly dnsmasq: { readonly pid: number | null };
  readonly machines: readonly {
    readonly name: string;
    readonly aliases: readonly string[];
    readonly refusedAliases: readonly { readonly alias: string; readonly problem: string }[];
  }[];
}

async function status(): Promise<Network> {
  return JSON.parse(succeeded(await virlan('status', '--json'))).networks[0];
}

aliases.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  client = await guest('client', { mac: '52:54:00:00:00:c1' });
  await dhcp(client);
});

aliases.after(() => stopWatcher());

aliases('a defined machine has its aliases, and all names below a wildcard, before it starts', async () => {
  await defineMachine('web', `api, www.${domain} *.apps`);
  const ip = await ipOf('web');
  const wildcard = `x.apps.web.${domain}`;
  await until(async () => (await addresses(wildcard))[0] === ip);
  const names = ['api', `api.${domain}`, 'www', `apps.web.${domain}`, `a.b.apps.web.${domain}`];
  assert.deepEqual(await addresses(...names, `y.web.${domain}`), [...names.map(() => ip), 'ENOTFOUND']);
  const others = [`AAAA ${wildcard}`, `AAAA api.${domain}`, `PTR ${ip}`];
  assert.deepEqual(Object.values(await ask(client, gateway, ...others)), [
    'ENODATA',
    'ENODATA',
    `web.${domain}`,
  ]);
  assert.match((await virlan('status')).stdout, /^ {2}web is also api, www, \*\.apps$/m);
  assert.deepEqual(
    (await plannedSteps()).filter(step => /names|dnsmasq|resolved/.test(step)),
    [],
  );
});

aliases('a change of the metadata of a running machine takes effect at once; its lease is kept', async () => {
  await startMachine('web');
  const [mac = ''] = await macsOf('web');
  const lease = await leaseOf(mac);
  const { dnsmasq } = await status();
  await setAliases('web', 'sql *.apps');
  assert.deepEqual(await addresses('sql', 'api'), [lease.ip, 'ENOTFOUND']);
  assert.equal((await status()).dnsmasq.pid, dnsmasq.pid, 'a plain alias restarts nothing');
  // With the prefix, as documents show the element: libvirt writes its own before it.
  await setAliases('web', 'db *.apps', 'virlan:machine');
  assert.deepEqual(await addresses('db', 'sql'), [lease.ip, 'ENOTFOUND']);
  await setAliases('web', '*.prod');
  await until(async () => (await addresses(`x.prod.web.${domain}`))[0] === lease.ip);
  assert.deepEqual(await addresses(`x.apps.web.${domain}`, 'sql'), ['ENOTFOUND', 'ENOTFOUND']);
  assert.notEqual((await status()).dnsmasq.pid, dnsmasq.pid, 'a wildcard is in the configuration of dnsmasq');
  assert.deepEqual(
    leases().filter(each => each.mac === mac),
    [lease],
  );
  await destroyMachine('web');
});

aliases('an alias that cannot be had is named by status and log, and the machine starts', async () => {
  await defineMachine('front', 'api');
  await defineMachine('back', `api wpad google.com sandbox front $(id) back-end`);
  await startMachine('back');
  await idle('back');
  const back = (await status()).machines.find(({ name }) => name === 'back');
  assert.deepEqual(back?.aliases, ['back-end']);
  assert.deepEqual(back?.refusedAliases, [
    { alias: 'api', problem: 'its alias api is a name of front: choose another' },
    { alias: 'wpad', problem: 'its alias wpad has a special meaning: choose another' },
    {
      alias: 'google.com',
      problem: "its alias google.com is outside of the network's domain: write a name without a dot",
    },
    { alias: 'sandbox', problem: 'its alias sandbox is the name of this host: choose another' },
    { alias: 'front', problem: 'its alias front is a name of front: choose another' },
    {
      alias: '$(id)',
      problem: 'its alias $(id) is not a host name: write one of a-z, 0-9 and "-", or *.NAME',
    },
  ]);
  assert.match((await virlan('status')).stdout, /! back: its alias api is a name of front: choose another$/m);
  const logged = logLines().filter(({ msg }) => /^its alias/.test(String(msg)));
  assert.equal(logged.filter(({ machine }) => machine === 'back').length, 6, 'once, not at each event');
  const [front = ''] = await addresses('front');
  assert.deepEqual(await addresses('api', 'google.com', 'wpad'), [front, 'EREFUSED', 'ENOTFOUND']);
  await destroyMachine('back');
});

aliases(
  'an alias follows a renamed machine, and others get what it gives up, or what is left when it is undefined',
  async () => {
    await virsh('domrename', 'front', 'edge');
    await idle('edge');
    const edge = await ipOf('edge');
    assert.deepEqual(await addresses('api'), [edge]);
    // It has asked for both.
    const back = await ipOf('back');
    await until(async () => (await addresses('front'))[0] === back);
    await undefine('edge');
    await until(async () => (await addresses('api'))[0] === back);
  },
);

aliases('an alias in virlan.ini is served when the file is saved, and gone when it is removed', async () => {
  const ini = '[network.k8s-br0]\nstp = no\n';
  await configure(`${ini}[machine.web]\naliases = files, *.static\n`);
  const ip = await ipOf('web');
  await until(async () => (await addresses(`a.static.web.${domain}`))[0] === ip);
  assert.deepEqual(await addresses('files'), [ip]);
  await configure(ini);
  await until(async () => (await addresses('files'))[0] === 'ENOTFOUND');
});

aliases(
  'a hook serves aliases without the watcher, wildcards too, which restart dnsmasq only when they change',
  async () => {
    await stopWatcher();
    await create(machineXml('guest', 'other *.more'));
    const ip = await ipOf('guest');
    assert.deepEqual(await addresses('other', `x.more.guest.${domain}`), [ip, ip]);
    const pid = readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8');
    await startWatcher();
    await idle('guest');
    assert.equal(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'), pid);
    await destroyMachine('guest');
    await until(async () => (await addresses('other'))[0] === 'ENOTFOUND');
    await until(
      () => !readFileSync('/var/lib/dnsmasq/k8s-br0/dnsmasq.conf', 'utf8').includes('more.guest'),
      3,
    );
  },
);

aliases.run();
