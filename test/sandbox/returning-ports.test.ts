// Ports that left the bridge and return, with what the host had set on them; and one that is in another bridge.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  startLibvirtd,
  virlan,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { runs } from './running-file.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const returning = suite('returning ports');

async function sh(script: string): Promise<string> {
  return (await execa('sh', ['-eu', '-c', script])).stdout;
}

/** Returns the options of a port that this test sets, its bridge among them. */
async function portOf({ port }: Guest) {
  const [{ master, linkinfo }] = JSON.parse(await sh(`ip -json -details link show dev ${port}`));
  const { learning, flood, bcast_flood, fastleave, cost, priority, multicast_router, proxy_arp_wifi } =
    linkinfo.info_slave_data ?? {};
  const flags = { learning, flood, bcast_flood, fastleave, proxy_arp_wifi };
  return { master, ...flags, cost, priority, multicast_router };
}

/** Returns the static entries of a port, each with its flags. */
async function entriesOf({ port }: Guest): Promise<string[]> {
  const entries = JSON.parse(await sh(`bridge -json fdb show dev ${port} state static`));
  return entries
    .filter(({ vlan }: { vlan?: number }) => vlan === undefined)
    .map(({ mac, flags }: { mac: string; flags: string[] }) => [mac, ...flags].join(' '))
    .sort();
}

/** Returns whether a guest gets an answer to a ping. A table of MACs that learns nothing answers nobody by chance. */
async function reaches({ name }: Guest, address: string): Promise<boolean> {
  const ping = ['netns', 'exec', name, 'ping', '-n', '-c1', '-W1', address];
  return (await execa('ip', ping, { reject: false })).exitCode === 0;
}

const set = {
  master: 'k8s-br0',
  learning: false,
  flood: false,
  bcast_flood: false,
  fastleave: true,
  proxy_arp_wifi: true,
  cost: 77,
  priority: 9,
  multicast_router: 2,
};
const entries = ['52:54:00:00:00:0a', '52:54:00:00:00:aa sticky'];

let web: Guest;

returning.before(async () => {
  await installVirlan();
  await internet();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await up();
  const mac = '52:54:00:00:00:0a';
  await prepare({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
  web = await guest('web', { mac });
  runs(web);
  await dhcp(web);
  // As libvirt does with macTableManager='libvirt', and options that nobody but the host sets.
  await sh(`bridge fdb replace ${mac} dev ${web.port} master static
    bridge fdb replace 52:54:00:00:00:aa dev ${web.port} master static sticky
    ip link set ${web.port} type bridge_slave learning off flood off bcast_flood off fastleave on proxy_arp_wifi on
    ip link set ${web.port} type bridge_slave cost 77 priority 9 mcast_router 2`);
  await startWatcher();
  await up();
});

for (const damage of ['ip link set veth-web nomaster', 'ip link delete k8s-br0']) {
  returning(
    `after \`${damage}\` a port has its options and its static entries, and passes packets`,
    async () => {
      assert.deepEqual(await portOf(web), set);
      assert.deepEqual(await entriesOf(web), entries);
      assert(await reaches(web, '192.168.100.1'));
      await sh(damage);
      await until(async () => (await portOf(web)).master === 'k8s-br0', 10);
      await until(async () => (await entriesOf(web)).length === 2 && reaches(web, '192.168.100.1'), 5);
      assert.deepEqual(await portOf(web), set);
      assert.deepEqual(await entriesOf(web), entries);
      assert.deepEqual(await plannedSteps(), []);
    },
  );
}

for (const damage of [
  'ip link set k8s-br0 name odd',
  'ip link set k8s-br0 down name odd; ip link set odd up',
]) {
  returning(`after \`${damage}\` the bridge has its name, and its ports have all that they had`, async () => {
    const index = await sh('cat /sys/class/net/k8s-br0/ifindex');
    await sh(damage);
    await until(() => existsSync('/sys/class/net/k8s-br0'), 5);
    await until(() => reaches(web, '192.168.100.1'), 5);
    assert.equal(await sh('cat /sys/class/net/k8s-br0/ifindex'), index, 'it is the same bridge');
    assert(!existsSync('/sys/class/net/odd'));
    assert.deepEqual(await portOf(web), set);
    assert.deepEqual(await entriesOf(web), entries);
    assert.deepEqual(await plannedSteps(), []);
  });
}

returning('an entry that is added or removed alone is known within seconds', async () => {
  const added = '52:54:00:00:00:bb';
  const isKnown = () => readFileSync('/run/virlan/k8s-br0.applied.json', 'utf8').includes(added);
  // The probe after a repair leads to the last scan: from then on nothing but the entry is a reason for one.
  await setTimeout(10_000);
  await sh(`bridge fdb replace ${added} dev ${web.port} master static`);
  const began = performance.now();
  await until(isKnown, 12);
  assert(performance.now() - began < 60_000, 'long before everything is compared');
  await sh(`ip link set ${web.port} nomaster`);
  await until(async () => (await entriesOf(web)).length === 3, 10);
  await sh(`bridge fdb delete ${added} dev ${web.port} master`);
  await until(() => !isKnown(), 12);
  assert.deepEqual(await plannedSteps(), []);
});

returning('`plan` shows the entries of a port that is to return, and `up` adds them', async () => {
  await stopWatcher();
  await sh(`ip link set ${web.port} nomaster`);
  const steps = await plannedSteps();
  assert(steps.includes(`+ static entry of ${web.port} 52:54:00:00:00:0a`), steps.join('\n'));
  await up();
  assert.deepEqual(await entriesOf(web), entries);
  assert.deepEqual(await plannedSteps(), []);
});

returning(
  'a port that leaves the bridge while virlan reads the host has its entries when it returns',
  async () => {
    // Lists the entries late, when the links may have been read, and without those of the port.
    stubProgram(
      'bridge',
      `case "$*" in *'fdb show'*) sleep 0.5; ip link set ${web.port} nomaster ;; esac; exec "$original" "$@"`,
    );
    await virlan('up');
    restorePrograms();
    await up();
    assert.deepEqual(await portOf(web), set);
    assert.deepEqual(await entriesOf(web), entries);
  },
);

returning("a machine's tap in another bridge is named by status and doctor, and left there", async () => {
  await startWatcher();
  await sh(`ip link add br9 type bridge; ip link set br9 up; ip link set ${web.port} master br9`);
  const named = /veth-web, the tap of web, is in br9, not in k8s-br0/;
  await until(async () => named.test((await virlan('status')).stdout), 10);
  // A scan that repairs begins at once.
  await setTimeout(2000);
  assert.equal((await portOf(web)).master, 'br9');
  const { exitCode, stderr } = await virlan('plan');
  assert.equal(exitCode, 0);
  assert.match(stderr, named);
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
  const { code, state, fix } = checks.find(({ check }: { check: string }) => check === 'taps');
  assert.deepEqual([code, state], ['tap-in-other-bridge', 'warn']);
  await sh(fix.command);
  await until(async () => (await portOf(web)).master === 'k8s-br0', 5);
  await until(async () => (await entriesOf(web)).length === 2, 5);
  assert.deepEqual(await portOf(web), set);
  await until(async () => !named.test((await virlan('status')).stdout), 10);
  await stopWatcher();
});

returning('`down` takes down a bridge that was renamed', async () => {
  await sh('ip link set k8s-br0 down name odd; ip link set odd up');
  const { stdout, stderr } = await virlan('plan');
  assert.match(`${stdout}${stderr}`, /bridge odd +is k8s-br0 again/);
  await down();
  assert(!existsSync('/sys/class/net/odd'));
  await up();
});

returning.run();
