// dns-records.test.ts: tests `virsh net-update` of a libvirt network that leads to virlan's bridge: TXT and SRV records
// are served, and every other part has an effect, is refused by libvirt, or is named.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import {
  configure,
  define,
  dhcp,
  domainXml,
  type Guest,
  guest,
  installVirlan,
  restartLibvirtd,
  run,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { busyness, until } from './until.ts';
import { plannedSteps, succeeded } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const records = suite('DNS records');
const gateway = '192.168.100.1';

let client: Guest;
/** Takes leases while the other one asks for names: it has no address meanwhile. */
let lessee: Guest;

async function update(command: string, section: string, xml: string, network = 'k8s-br0'): Promise<void> {
  await virsh('net-update', network, command, section, xml, '--live', '--config');
}

async function answers(...questions: string[]): Promise<string[]> {
  return Object.values(await ask(client, gateway, ...questions));
}

const pid = () => readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8');

const text = (value: string) => JSON.stringify([value]);
const txtXml = (name: string, value: string) =>
  `<txt name='${name}' value='${value.replace(/[&"'<\n]/g, each => `&#${each.charCodeAt(0)};`)}'/>`;
const service = (name: string, port = 1, priority = 0, weight = 0) =>
  JSON.stringify({ name, port, priority, weight });

const odd = 'v=1; a="b,c" \\d #e <&>';
const ldap =
  "<srv service='ldap' protocol='tcp' domain='example.org' target='l.example.org' port='389' weight='5'/>";
const local = "<srv service='sip' protocol='udp' target='web.k8s-br0.internal' port='5060'/>";
const [askLdap, askLocal] = ['SRV _ldap._tcp.example.org', 'SRV _sip._udp.k8s-br0.internal'];

records.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  client = await guest('client', { mac: '52:54:00:00:00:c1' });
  await dhcp(client);
  lessee = await guest('lessee', { mac: '52:54:00:00:00:c2' });
  await until(async () => /k8s-br0 +active/.test(await virsh('net-list')), 30);
});

records.after(() => stopWatcher());

records('dns-txt and dns-srv are served when net-update returns, and DHCP meanwhile', async () => {
  let isDone = false;
  const slowest = (async () => {
    let ms = 0;
    while (!isDone) {
      const begin = performance.now();
      await dhcp(lessee);
      ms = Math.max(ms, performance.now() - begin);
    }
    return ms;
  })();
  const before = pid();
  await update('add', 'dns-txt', txtXml('_dmarc.Example.org', odd));
  assert.deepEqual(await answers('TXT _dmarc.example.org'), [text(odd)]);
  await update('add', 'dns-txt', txtXml('long', 'x'.repeat(900)));
  await update('add', 'dns-srv', ldap);
  await update('add', 'dns-srv', local);
  await update('add', 'dns-srv', "<srv service='pop3' protocol='tcp'/>");
  isDone = true;
  // A client that asks while dnsmasq is replaced asks again after a second.
  assert((await slowest) < 2000 * busyness(), `DHCP took ${await slowest} ms`);
  const [long = '', ...services] = await answers(
    'TXT long',
    askLdap,
    askLocal,
    'SRV _pop3._tcp.k8s-br0.internal',
  );
  assert.equal(JSON.parse(long).join(''), 'x'.repeat(900));
  assert.deepEqual(services, [
    service('l.example.org', 389, 0, 5),
    service('web.k8s-br0.internal', 5060),
    service('', 1),
  ]);
  assert.notEqual(pid(), before);
  assert.deepEqual(await plannedSteps(), []);
});

records(
  'another update restarts nothing; records outlive libvirtd, the watcher, dnsmasq and up',
  async () => {
    const before = pid();
    await update('add', 'dns-host', "<host ip='192.168.100.60'><hostname>registry</hostname></host>");
    assert.equal(pid(), before);
    await restartLibvirtd();
    await stopWatcher();
    await startWatcher();
    assert.equal(pid(), before);
    process.kill(Number(before), 'SIGKILL');
    await until(async () => (await answers(askLdap))[0] === service('l.example.org', 389, 0, 5));
    succeeded(await virlan('up'));
    assert.deepEqual(await answers('TXT _dmarc.example.org', 'A registry'), [text(odd), '192.168.100.60']);
  },
);

records('a record is gone when it is removed, also without the watcher', async () => {
  await update('delete', 'dns-srv', ldap);
  assert.deepEqual(await answers(askLdap, askLocal), ['EREFUSED', service('web.k8s-br0.internal', 5060)]);
  await stopWatcher();
  await update('add', 'dns-txt', txtXml('alone', 'here'));
  assert.deepEqual(await answers('TXT alone'), [text('here')]);
  await update('delete', 'dns-txt', txtXml('alone', 'here'));
  assert.deepEqual(await answers('TXT alone', askLocal), ['EREFUSED', service('web.k8s-br0.internal', 5060)]);
  await startWatcher();
});

records('what cannot be served is named by status and log, and harms nothing', async () => {
  const bad = [
    ['dns-txt', txtXml('*.wild', 'x'), 'dns-txt "*.wild"', 'its name is not a host name'],
    [
      'dns-txt',
      txtXml('long2', 'x'.repeat(1100)),
      'dns-txt "long2"',
      'its name and value together are longer',
    ],
    [
      'dns-txt',
      txtXml('control', 'a\x7fuser=root'),
      'dns-txt "control"',
      'its value has a control character',
    ],
    [
      'dns-srv',
      "<srv service='a' protocol='tcp' target='t,x'/>",
      'dns-srv "_a._tcp"',
      'its target is not a host',
    ],
    ['dns-srv', "<srv service='_x' protocol='tcp'/>", 'dns-srv "__x._tcp"', 'its name is not a host name'],
    [
      'dns-host',
      "<host ip='192.168.100.70'><hostname>a b</hostname></host>",
      'dns-host "a b"',
      'its name is not a host name',
    ],
    [
      'dns-host',
      "<host ip='192.168.100.71'><hostname>gateway</hostname></host>",
      'dns-host "gateway"',
      'that is the name of another address',
    ],
  ] as const;
  const before = pid();
  for (const [section, xml, entry, reason] of bad) {
    await update('add', section, xml);
    const named = `${entry} of libvirt's network k8s-br0 is not served, because `;
    assert(
      logLinesOf('network-warning').some(({ msg }) => `${msg}`.includes(named) && `${msg}`.includes(reason)),
      entry,
    );
    assert((await virlan('status')).stdout.includes(named), entry);
  }
  assert.equal(pid(), before);
  assert.deepEqual(await answers('A registry', askLocal), [
    '192.168.100.60',
    service('web.k8s-br0.internal', 5060),
  ]);
  for (const [section, xml] of bad) await update('delete', section, xml);
  await until(async () => !(await virlan('status')).stdout.includes('is not served'));
});

records('libvirt refuses the parts that a pass-through network cannot have', async () => {
  for (const [command, section, xml] of [
    ['modify', 'bridge', "<bridge name='br9'/>"],
    ['modify', 'domain', "<domain name='example.org'/>"],
    ['add', 'ip', "<ip address='10.1.1.1' netmask='255.255.255.0'/>"],
    ['add', 'ip-dhcp-host', "<host mac='52:54:00:00:00:01' ip='192.168.100.5'/>"],
    ['add', 'ip-dhcp-range', "<range start='192.168.100.5' end='192.168.100.9'/>"],
    ['modify', 'forward', "<forward mode='nat'/>"],
    ['add', 'forward-interface', "<interface dev='lo'/>"],
  ] as const)
    await assert.rejects(update(command, section, xml), /can't update|no <ip> element|but not both/, section);
});

records('libvirt follows port groups itself: with a VLAN, it does not start the machine', async () => {
  await update('add', 'portgroup', "<portgroup name='tagged'><vlan><tag id='5'/></vlan></portgroup>");
  const xml = domainXml({ name: 'tagged', nics: [{ type: 'network', source: 'k8s-br0' }] });
  await define(xml.replace(/network=(['"])k8s-br0\1/, "$& portgroup='tagged'"));
  await assert.rejects(startMachine('tagged'), /vlan tag/);
  await undefine('tagged');
});

records(
  'they go with the network of libvirt and with down, which no update undoes, and come back',
  async () => {
    // The port of the client leaves the bridge with it.
    const fromHost = async (question: string) => Object.values(await ask({}, gateway, question));
    const second = (dns: string) =>
      `<network><name>second</name><forward mode='bridge'/><bridge name='k8s-br0'/>${dns}</network>`;
    writeFileSync('/tmp/second.xml', second(''));
    await virsh('net-create', '/tmp/second.xml');
    await virsh('net-update', 'second', 'add', 'dns-txt', txtXml('second', 'two'), '--live');
    await virsh('net-update', 'second', 'add', 'dns-txt', txtXml('long', 'x'.repeat(900)), '--live');
    assert.deepEqual(await fromHost('TXT second'), [text('two')]);
    succeeded(await virlan('down'));
    await virsh('net-update', 'second', 'add', 'dns-txt', txtXml('third', 'three'), '--live');
    assert.equal(
      (await run({}, 'sh', '-c', 'ip link show k8s-br0 2>&1 || true')).includes('does not exist'),
      true,
    );
    assert.throws(() => pid(), /ENOENT/);
    succeeded(await virlan('up'));
    await until(async () => (await fromHost('TXT second'))[0] === text('two'));
    assert.deepEqual(await fromHost('TXT third'), [text('three')]);
    await virsh('net-destroy', 'second');
    await until(async () => (await fromHost('TXT second'))[0] === 'EREFUSED');
  },
);

records.run();
