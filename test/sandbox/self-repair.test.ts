import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  configure,
  define,
  dhcp,
  domainXml,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  leaseOf,
  leases,
  macsOf,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
} from './host.ts';
import { logLines } from './log.ts';
import { startPinging } from './pinger.ts';
import { until } from './until.ts';
import { idle, startWatcher } from './watcher.ts';

/** What somebody does to the host by hand, as a shell would, and the things that virlan has to put right then. */
interface Damage {
  readonly title: string;
  readonly by: string;
  readonly missing: RegExp;
}

const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

const damages: Damage[] = [
  { title: 'nft flush ruleset', by: 'nft flush ruleset', missing: /firewall \(nftables\) of k8s-br0/ },
  { title: 'the bridge deleted', by: 'ip link delete k8s-br0', missing: /bridge k8s-br0/ },
  {
    title: 'the address removed',
    by: 'ip address delete 192.168.100.1/24 dev k8s-br0',
    missing: /address on k8s-br0/,
  },
  {
    title: 'the route to the machines deleted',
    by: 'ip route delete 192.168.100.0/24 dev k8s-br0',
    missing: /route on k8s-br0/,
  },
  { title: 'no forwarding', by: 'sysctl -q net.ipv4.ip_forward=0', missing: /net.ipv4.ip_forward/ },
  {
    title: 'dnsmasq killed',
    by: 'kill -9 $(cat /run/dnsmasq/k8s-br0.pid)',
    missing: /dnsmasq of k8s-br0/,
  },
  { title: "dnsmasq's configuration deleted", by: `rm ${conf}`, missing: /dnsmasq of k8s-br0/ },
  { title: 'the hostsfile truncated', by: `: > ${hostsfile}`, missing: /hostsfile/ },
  {
    title: "a machine's tap taken out of the bridge",
    by: 'ip link set veth-web nomaster',
    missing: /ports of k8s-br0/,
  },
];

const inIptables: Damage[] = [
  {
    title: 'iptables -F, where somebody set the policy of FORWARD to DROP',
    by: 'iptables -F',
    missing: /firewall \(iptables\) of k8s-br0/,
  },
];

/** A repair is done within a second; a little more is lost on a machine that does much else. */
const lostAtMost = 30;

const repair = suite('self-repair');
const mac = '52:54:00:cc:00:01';
let web: Guest;
let real: { readonly mac: string; readonly ip: string; readonly pid: string };

const ofReal = () => readFileSync('/run/libvirt/qemu/real.pid', 'utf8');
const tapOfReal = async () => /vnet\d+/.exec(await virsh('domiflist', 'real'))?.[0] ?? '';
/** What the machines have leased; the watcher's probe has a lease for a moment, too. */
const held = () =>
  leases()
    .filter(lease => [mac, real.mac].includes(lease.mac))
    .map(({ mac, ip }) => ({ mac, ip }));
const repairs = () => logLines().filter(line => line.msg === 'network repaired');

repair('a network with a machine of QEMU and one that pings outwards', async () => {
  await installVirlan();
  await configure('');
  await startLibvirtd();
  await startWatcher();
  await internet();
  // libvirt knows the machine in whose stead the guest is, and by its file the guest's port is the machine's tap.
  const machine = {
    name: 'web',
    uuid: '00000000-0000-4000-8000-00000000000a',
    nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac }],
    metadata: `<v:machine xmlns:v='urn:virlan:machine:1' mac='keep'/>`,
  };
  await define(domainXml(machine));
  await define(domainXml({ name: 'real', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await idle('real');
  await startMachine('real');
  web = await guest('web', { mac });
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  const running = domainXml(machine).replace('<model', `<target dev='${web.port}'/><model`);
  writeFileSync('/run/libvirt/qemu/web.xml', `<domstatus state='running'>${running}</domstatus>`);
  await dhcp(web);
  const [macOfReal = ''] = await macsOf('real');
  real = { mac: macOfReal, ip: (await leaseOf(macOfReal)).ip, pid: ofReal() };
});

async function mends({ by, missing }: Damage): Promise<void> {
  const before = { leases: held(), repairs: repairs().length, tap: await tapOfReal() };
  const pinger = await startPinging(web, internetAddress);
  await execa('sh', ['-eu', '-c', by]);
  await until(() => repairs().length > before.repairs, 5);
  await pinger.answer(5);
  const { lost, sent } = await pinger.stop();
  console.log(`  ${lost} of ${sent} pings lost: ${by}`);
  assert(lost <= lostAtMost, `${lost} pings lost`);
  assert.match(String(repairs()[before.repairs]?.missing), missing);
  await until(async () => (await virlan('plan')).exitCode === 0, 5);
  assert.equal(ofReal(), real.pid);
  assert.equal(basename(readlinkSync(`/sys/class/net/${before.tap}/master`)), 'k8s-br0');
  assert.match(await virsh('domiflist', 'real'), new RegExp(`${before.tap} +bridge +k8s-br0 +`));
  assert.deepEqual(held(), before.leases);
  // Who asks again gets the same.
  assert.equal(await dhcp(web), before.leases.find(lease => lease.mac === mac)?.ip);
}

for (const damage of damages) repair(damage.title, () => mends(damage));

repair('another firewall of virlan', async () => {
  await configure('[network.k8s-br0]\nfirewall = iptables\n');
  await until(async () => (await execa('iptables-save')).stdout.includes('VIRLAN-FWD'), 5);
  await until(async () => (await virlan('plan')).exitCode === 0, 5);
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
});

for (const damage of inIptables) repair(damage.title, () => mends(damage));
repair.run();
