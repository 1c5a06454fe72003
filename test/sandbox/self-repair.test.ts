// The watcher repairs damage within a second, while a guest pings outside and a machine of QEMU runs.
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
import { logLinesOf } from './log.ts';
import { startPinging } from './pinger.ts';
import { until } from './until.ts';
import { idle, startWatcher } from './watcher.ts';

/** Damage by a shell script, and the repair units that the log must name. */
interface Damage {
  readonly title: string;
  readonly script: string;
  readonly missing: RegExp;
}

const conf = '/var/lib/dnsmasq/k8s-br0/dnsmasq.conf';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

const damages: Damage[] = [
  { title: 'nft flush ruleset', script: 'nft flush ruleset', missing: /firewall \(nftables\) of k8s-br0/ },
  { title: 'the bridge deleted', script: 'ip link delete k8s-br0', missing: /bridge k8s-br0/ },
  {
    title: 'the address removed',
    script: 'ip address delete 192.168.100.1/24 dev k8s-br0',
    missing: /address on k8s-br0/,
  },
  {
    title: 'the route to the machines deleted',
    script: 'ip route delete 192.168.100.0/24 dev k8s-br0',
    missing: /route on k8s-br0/,
  },
  {
    title: 'ARP on the bridge switched off',
    script: 'ip link set dev k8s-br0 arp off',
    missing: /arp of k8s-br0/,
  },
  { title: 'forwarding off', script: 'sysctl -q net.ipv4.ip_forward=0', missing: /net.ipv4.ip_forward/ },
  {
    title: 'dnsmasq killed',
    script: 'kill -9 $(cat /run/dnsmasq/k8s-br0.pid)',
    missing: /dnsmasq of k8s-br0/,
  },
  { title: "dnsmasq's configuration deleted", script: `rm ${conf}`, missing: /dnsmasq of k8s-br0/ },
  { title: 'the hostsfile truncated', script: `: > ${hostsfile}`, missing: /hostsfile/ },
  {
    title: "a machine's tap removed from the bridge",
    script: 'ip link set veth-web nomaster',
    missing: /port veth-web/,
  },
];

const inIptables: Damage[] = [
  {
    title: 'iptables -F, with policy DROP of FORWARD',
    script: 'iptables -F',
    missing: /firewall \(iptables\) of k8s-br0/,
  },
];

/** 20 pings are lost in a second, the limit for a repair; ten more allow for a busy host. */
const maxLostPings = 30;

const repair = suite('self-repair');
const mac = '52:54:00:cc:00:01';
let web: Guest;
let real: { readonly mac: string; readonly ip: string; readonly pid: string };

function qemuPid(): string {
  return readFileSync('/run/libvirt/qemu/real.pid', 'utf8');
}

async function qemuTap(): Promise<string> {
  return /vnet\d+/.exec(await virsh('domiflist', 'real'))?.[0] ?? '';
}

/**
 * Returns the leases of the machines by MAC, without that of the watcher's probe. A restarted dnsmasq writes
 * the leases that it has read in reverse order.
 */
function machineLeases() {
  return new Map(
    leases()
      .filter(lease => [mac, real.mac].includes(lease.mac))
      .map(({ mac, ip }) => [mac, ip]),
  );
}

function repairs() {
  return logLinesOf('network-repaired');
}

repair('a network with a machine of QEMU and a guest that pings outside', async () => {
  await installVirlan();
  await configure('');
  await startLibvirtd();
  await startWatcher();
  await internet();
  // The guest stands for a machine that libvirt knows, and libvirt's file names the guest's port as its tap.
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
  const [qemuMac = ''] = await macsOf('real');
  real = { mac: qemuMac, ip: (await leaseOf(qemuMac)).ip, pid: qemuPid() };
  // libvirt has not started the guest, so that no hook has told the guard of it.
  assert.equal((await virlan('up')).exitCode, 0);
});

async function assertRepaired({ script, missing }: Damage): Promise<void> {
  const before = { leases: machineLeases(), repairs: repairs().length, tap: await qemuTap() };
  const pinger = await startPinging(web, internetAddress);
  await execa('sh', ['-eu', '-c', script]);
  // A comparison that was under way may have read one half of the host before the damage, and repairs the other half.
  const named = () =>
    repairs()
      .slice(before.repairs)
      .map(each => String(each.missing));
  await until(() => named().some(text => missing.test(text)), 5).catch(() =>
    assert.match(named().join('; '), missing),
  );
  await pinger.answer(5);
  const { lost, sent } = await pinger.stop();
  console.log(`  ${lost} of ${sent} pings lost: ${script}`);
  assert(lost <= maxLostPings, `${lost} pings lost`);
  await until(async () => (await virlan('plan')).exitCode === 0, 5);
  assert.equal(qemuPid(), real.pid);
  assert.equal(basename(readlinkSync(`/sys/class/net/${before.tap}/master`)), 'k8s-br0');
  assert.match(await virsh('domiflist', 'real'), new RegExp(`${before.tap} +bridge +k8s-br0 +`));
  assert.deepEqual(machineLeases(), before.leases);
  // DHCP still offers the same address.
  assert.equal(await dhcp(web), before.leases.get(mac));
}

for (const damage of damages) repair(damage.title, () => assertRepaired(damage));

repair('the other backend of virlan', async () => {
  await configure('[network.k8s-br0]\nfirewall = iptables\n');
  await until(async () => (await execa('iptables-save')).stdout.includes('VIRLAN-FWD'), 5);
  await until(async () => (await virlan('plan')).exitCode === 0, 5);
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
});

for (const damage of inIptables) repair(damage.title, () => assertRepaired(damage));
repair.run();
