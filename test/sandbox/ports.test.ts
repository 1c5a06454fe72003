// The ports of machines: guests with a bridge and STP of their own, ports that are down, MTU, isolation.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, type Guest, guest, installVirlan, remove, startLibvirtd, virlan } from './host.ts';
import { runningDomains, runs } from './running-file.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const ports = suite('ports');

async function sh(script: string): Promise<string> {
  return (await execa('sh', ['-eu', '-c', script])).stdout;
}

interface IpLink {
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly master?: string;
  readonly linkinfo?: {
    readonly info_data?: { readonly root_port: number; readonly forward_delay: number };
    readonly info_slave_data?: {
      readonly isolated: boolean;
      readonly hairpin: boolean;
      readonly state: string;
    };
  };
}

async function linkOf(name: string): Promise<IpLink> {
  const [link] = JSON.parse(await sh(`ip -json -details link show dev ${name}`));
  return link;
}

/** Puts a bridge onto a guest's NIC that becomes the root of any spanning tree, by its MAC. */
async function speaksStp({ name }: Guest): Promise<void> {
  const bridge = 'address 02:00:00:00:00:01 type bridge stp_state 1 priority 0 forward_delay 3000';
  await sh(`ip -n ${name} link add br0 ${bridge}
    ip -n ${name} link set eth0 master br0
    ip -n ${name} address add 192.168.100.9/24 dev br0
    ip -n ${name} link set br0 up`);
}

async function isRoot(): Promise<boolean> {
  return (await linkOf('k8s-br0')).linkinfo?.info_data?.root_port === 0;
}

/**
 * Returns whether a guest with a bridge of its own reaches the host. That bridge is told to forward at once:
 * unlike a machine's NIC, the guest's end of a veth goes down with the host's.
 */
async function reachesHost({ name }: Guest): Promise<boolean> {
  await sh(`ip -n ${name} link set br0 type bridge stp_state 0
    bridge -n ${name} link set dev eth0 state 3
    ip -n ${name} link set br0 type bridge stp_state 1`);
  const ping = ['netns', 'exec', name, 'ping', '-c1', '-W1', '192.168.100.1'];
  return (await execa('ip', ping, { reject: false })).exitCode === 0;
}

/** Starts the watcher anew: one that repairs ports often leaves them alone for a while. */
async function restartWatcher(): Promise<void> {
  await stopWatcher();
  await startWatcher();
}

let eve: Guest;
let web: Guest;

ports("a guest's bridge that becomes the root of the spanning tree is excluded from it by `up`", async () => {
  await installVirlan();
  await configure('');
  await up();
  eve = await guest('eve', { mac: '52:54:00:00:00:0e' });
  await speaksStp(eve);
  await until(async () => !(await isRoot()), 20);
  assert.equal((await linkOf('k8s-br0')).linkinfo?.info_data?.forward_delay, 3000);
  const steps = await plannedSteps();
  assert(steps.includes('~ veth-eve out of the spanning tree, whose root it led to'), steps.join('\n'));
  assert(!steps.some(step => step.includes('forward delay')), steps.join('\n'));
  await up();
  assert.equal(await isRoot(), true);
  assert.equal((await linkOf('k8s-br0')).linkinfo?.info_data?.forward_delay, 200);
  assert.deepEqual(await plannedSteps(), []);
  await until(() => reachesHost(eve), 30);
  assert.equal(await isRoot(), true, 'the guest has sent BPDUs since');
  assert.deepEqual(await plannedSteps(), []);
});

ports('with a watcher, ports forward in seconds in spite of a guest that speaks STP', async () => {
  await remove(eve);
  await startLibvirtd();
  await startWatcher();
  eve = await guest('eve', { mac: '52:54:00:00:00:0e' });
  await speaksStp(eve);
  await until(async () => /0x[0-9a-f]*1\b/.test(await groupForwardMask(eve)), 20);
  await until(isRoot, 5);
  const began = performance.now();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  assert(performance.now() - began < 15_000, 'less than with a delay of 30 s');
  await until(() => reachesHost(eve), 30);
  assert.deepEqual(await plannedSteps(), []);
});

function groupForwardMask({ port }: Guest): Promise<string> {
  return sh(`cat /sys/class/net/${port}/brport/group_fwd_mask`);
}

ports('a port that is down is set up again and forwards at once, unless libvirt keeps it down', async () => {
  await restartWatcher();
  const held = execa('python3', ['-c', holdTap('vnet7')]);
  await once(held.stdout, 'data');
  const tap: Guest = { name: 'tap', mac: '52:54:00:00:00:0c', port: 'vnet7' };
  runs(tap);
  await sh('ip link set vnet7 up master k8s-br0');
  const isUp = async () => (await linkOf('vnet7')).flags.includes('UP');
  const forwardsFrames = async () =>
    (await linkOf('vnet7')).linkinfo?.info_slave_data?.state === 'forwarding';
  await until(forwardsFrames, 20);
  for (const damage of ['down', 'down nomaster']) {
    await sh(`ip link set vnet7 ${damage}`);
    await until(async () => (await isUp()) && (await linkOf('vnet7')).master === 'k8s-br0', 3);
    assert(await forwardsFrames(), damage);
  }
  runs(tap, "<link state='down'/>");
  await sh('ip link set vnet7 down');
  // Something else that is repaired by the same scan or a later one.
  await sh('ip route delete 192.168.100.0/24 dev k8s-br0');
  await until(async () => (await sh('ip route show 192.168.100.0/24')) !== '', 5);
  assert(!(await isUp()));
  assert.deepEqual(await plannedSteps(), []);
  runs(tap);
  await up();
  assert(await isUp());
  held.kill();
  await held.catch(() => {});
  rmSync(`${runningDomains}/tap.xml`);
});

/** Returns a Python program that holds a tap open, as QEMU does. */
function holdTap(name: string): string {
  return `import fcntl, struct, time
tap = open("/dev/net/tun", "r+b", buffering=0)
fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH", b"${name}", 0x1002))
print("there", flush=True)
time.sleep(300)`;
}

ports('a port that returns has the options that libvirt and the host gave it', async () => {
  await restartWatcher();
  runs(web, "<port isolated='yes'/>");
  await sh(`bridge link set dev ${web.port} hairpin on`);
  await up();
  const options = async () => {
    const { isolated, hairpin } = (await linkOf(web.port)).linkinfo?.info_slave_data ?? {};
    return { isolated, hairpin };
  };
  assert.deepEqual(await options(), { isolated: true, hairpin: true });
  await sh(`ip link set ${web.port} nomaster`);
  await until(async () => (await linkOf(web.port)).master === 'k8s-br0', 5);
  assert.deepEqual(await options(), { isolated: true, hairpin: true });
  await sh('ip link delete k8s-br0');
  await until(async () => (await linkOf(web.port)).master === 'k8s-br0', 5);
  assert.deepEqual(await options(), { isolated: true, hairpin: true });
  assert.deepEqual(await plannedSteps(), []);
});

ports('the isolation that libvirt gave a port is restored within a second or two', async () => {
  await restartWatcher();
  const isIsolated = async () => (await linkOf(web.port)).linkinfo?.info_slave_data?.isolated;
  // The link of the probe leads to a last scan, and no event says that it has ended.
  await statusWhen(({ probe }) => probe !== null, 30);
  await setTimeout(3000);
  await sh(`bridge link set dev ${web.port} isolated off`);
  await until(async () => (await isIsolated()) === true, 3);
  assert.deepEqual(await plannedSteps(), []);
});

ports('frames to bridges are kept from a guarded port at once again, whoever let them in', async () => {
  const mask = await groupForwardMask(web);
  assert.equal(mask, '0xfffd');
  for (const damage of [
    `ip link set ${web.port} type bridge_slave group_fwd_mask 0x8`,
    `echo 0 >/sys/class/net/${web.port}/brport/group_fwd_mask`,
  ]) {
    await setTimeout(3000);
    await sh(damage);
    await until(async () => (await groupForwardMask(web)) === mask, 3);
  }
  assert.deepEqual(await plannedSteps(), []);
});

ports('another `mtu` is set on bridge, NIC and ports, but not where libvirt names one', async () => {
  await restartWatcher();
  const mtuOf = async (name: string) => (await linkOf(name)).mtu;
  const other = await guest('other', { mac: '52:54:00:00:00:0b' });
  runs(web);
  runs(other, "<mtu size='1300'/>");
  await configure('[network.k8s-br0]\nmtu = 9000\n');
  await until(async () => (await mtuOf(web.port)) === 9000, 10);
  await until(async () => (await plannedSteps()).length === 0, 10);
  assert.deepEqual([await mtuOf('k8s-br0'), await mtuOf(other.port)], [9000, 1300]);
  await stopWatcher();
  await down();
});

for (const mtu of [1400, 1500, 9000]) {
  ports(`the MTU ${mtu} holds from the first \`up\` on, whatever ports are plugged in`, async () => {
    rmSync(runningDomains, { recursive: true, force: true });
    await configure(`[network.k8s-br0]\nmtu = ${mtu}\n`);
    // The stand-in for the dummy NIC, which this kernel lacks. It has the MTU 1500.
    await sh('ip link add k8s-br0-nic type veth peer name nic-peer');
    await up();
    assert.equal((await linkOf('k8s-br0-nic')).mtu, mtu);
    assert.equal((await linkOf('k8s-br0')).mtu, mtu);
    await sh('ip link add small mtu 1280 type veth peer name small2; ip link set small master k8s-br0');
    assert.equal((await linkOf('k8s-br0')).mtu, mtu);
    assert.deepEqual(await plannedSteps(), []);
    await sh('ip link delete small');
    await down();
    await sh('ip link delete k8s-br0-nic');
  });
}

ports(
  'links of other programs in the bridge are listed, and one of a LAN is named by status and doctor',
  async () => {
    await configure('');
    await up();
    await sh(`ip link add lan type veth peer name lan-peer
    ip link add link lan name lan5 type macvlan
    ip link set lan5 master k8s-br0
    ip link set lan-peer master k8s-br0
    mkdir -p /usr/lib/modules/6.99 /usr/lib/modules/$(uname -r)/updates/dkms
    touch /usr/lib/modules/6.99/modules.dep`);
    const { stdout } = await virlan('status');
    assert.match(stdout, /lan5, which leads to a LAN, is in k8s-br0/);
    assert.doesNotMatch(stdout, /lan-peer, which/);
    const [{ otherPorts }] = JSON.parse((await virlan('status', '--json')).stdout).networks;
    assert.deepEqual(otherPorts.sort(), ['lan-peer', 'lan5']);
    assert.match(stdout, /other links in k8s-br0: lan/);
    const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
    const found = checks.find(({ code }: { code: string }) => code === 'lan-port');
    assert.deepEqual([found.check, found.state], ['bridge', 'warn']);
    await sh(found.fix.command);
    assert.equal((await linkOf('lan5')).master, undefined);
    assert.match(stdout, /the modules of the running kernel .*: reboot/);
  },
);

ports.run();
