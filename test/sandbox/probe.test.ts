import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  guest,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  leases,
  nameServer,
  run,
  startLibvirtd,
  virlan,
} from './host.ts';
import { logLines } from './log.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { get, startWatcher, stopWatcher } from './watcher.ts';

interface Check {
  check: string;
  state: string;
  seen: string;
}

const probes = suite('probe');
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
let world: Linked;

/** What a probe may change: files that are written anew, and the time after which a bridge forgets, which STP shortens when a port goes. */
const meant = [/hostsfile|\.told|leases/, / link .*"ifname":"k8s-br0".*"stp_state":1/];

/** What the probe met, by stage. */
async function probed(): Promise<Record<string, string>> {
  const { stdout, stderr } = await virlan('doctor', '--json');
  assert.equal(stderr, '');
  const checks: Check[] = JSON.parse(stdout).checks;
  const own = checks.filter(({ check }) => check.startsWith('probe') || check === 'upstream-dns');
  return Object.fromEntries(own.map(({ check, state, seen }) => [check, `${state}: ${seen}`]));
}

async function network(...lines: string[]): Promise<void> {
  await configure(['[network.k8s-br0]', ...lines, ''].join('\n'));
  await up();
}

const hasLine = () => readFileSync(hostsfile, 'utf8').includes('virlan-probe');
const isOut = () =>
  existsSync('/run/netns/virlan-probe') || existsSync('/sys/class/net/virlan-probe') || hasLine();
const isLeased = () => leases().some(({ hostname }) => hostname === 'virlan-probe');

async function startMachine(name: string, mac: string): Promise<void> {
  const nics = [{ type: 'bridge' as const, source: 'k8s-br0', mac }];
  assert.equal((await prepare({ name, uuid: randomUUID(), nics })).exitCode, 0);
}

function promisedTo(mac: string): string | undefined {
  const line = readFileSync(hostsfile, 'utf8')
    .split('\n')
    .find(each => each.startsWith(mac));
  return line?.split(',')[2];
}

probes('goes all the way, waits for STP and says so, and leaves nothing', async () => {
  await installVirlan();
  world = await internet();
  await nameServer(world, internetAddress);
  await network();
  await startMachine('web', '52:54:00:00:00:0a');
  // The bridge has a carrier while a machine is on it.
  await guest('web', { mac: '52:54:00:00:00:0a' });
  // It tells libvirt of the new machine.
  await up();
  const before = await snapshot();
  const stages = await probed();
  assert.match(stages['probe-port'] ?? '', /^ok: forwards after [345]\.\d s of STP$/);
  assert.deepEqual(
    { ...stages, 'probe-port': '' },
    {
      'probe-port': '',
      'probe-lease': 'ok: 192.168.100.254 leased as reserved',
      'probe-dns': 'ok: 192.168.100.1 knows the probe by its name',
      'probe-forward': 'ok: leaves by uplink',
      'probe-masquerade': 'ok: leaves with the address of the host',
      'probe-return': `ok: ${internetAddress} answers`,
      'upstream-dns': 'ok: names of the outside resolve',
    },
  );
  await until(() => !isLeased());
  assert.deepEqual(await changesSince(before, ...meant), []);
});

/** Starts the doctor and kills it as soon as the condition holds. */
async function kill(when: () => Promise<unknown>): Promise<void> {
  const child = spawn('/usr/sbin/virlan', ['doctor'], { detached: true, stdio: 'ignore' });
  const ended = once(child, 'close');
  await when();
  // On a fast machine it may be done by then.
  if (child.exitCode === null) process.kill(-(child.pid ?? 0), 'SIGKILL');
  await ended;
}

probes('one that is killed on the way is cleared away by the next, and by up', async () => {
  const before = await snapshot();
  for (const clear of [up, probed]) {
    await kill(() => until(() => existsSync('/sys/class/net/virlan-probe/brport') && hasLine()));
    assert(existsSync('/run/netns/virlan-probe') && hasLine());
    await clear();
    assert(!isOut());
    await until(() => !isLeased());
    assert.deepEqual(await changesSince(before, ...meant), []);
  }
});

probes('killed at any point it leaves files whole, and nothing after up', async () => {
  await network('stp = no');
  const before = await snapshot();
  for (let delay = 50; delay <= 500; delay += 30)
    await kill(() => new Promise(resolve => setTimeout(resolve, delay)));
  await up();
  assert(!isOut());
  await until(() => !isLeased());
  assert.deepEqual(await plannedSteps(), []);
  assert.deepEqual(await changesSince(before, ...meant), []);
  assert.equal((await probed())['probe-lease'], 'ok: 192.168.100.254 leased as reserved');
});

probes('two at once wait for each other', async () => {
  for (const stages of await Promise.all([probed(), probed()]))
    assert.equal(stages['probe-lease'], 'ok: 192.168.100.254 leased as reserved');
});

probes('never takes what is given, leased or promised', async () => {
  // The last three addresses of the pool are spoken for in three ways.
  await network(
    'stp = no',
    'dhcp-range = 192.168.100.2-192.168.100.9',
    '[host.printer]',
    'network = k8s-br0',
    'mac = 52:54:00:00:00:10',
    'ip = 192.168.100.9',
  );
  await execa('sh', ['-c', `echo 52:54:00:00:00:11,192.168.100.8 >> ${hostsfile}`]);
  await execa('sed', ['-i', 's/"ip":"[0-9.]*"/"ip":"192.168.100.7"/', '/var/lib/virlan/ledger.jsonl']);
  await up();
  assert.equal((await probed())['probe-lease'], 'ok: 192.168.100.6 leased as reserved');
});

probes('a machine that starts meanwhile gets an address of its own', async () => {
  await network('stp = yes', 'dhcp-range = 192.168.100.2-192.168.100.9');
  const probing = probed();
  await until(hasLine);
  const macs = Array.from({ length: 4 }, (_, index) => `52:54:00:00:01:0${index}`);
  for (const mac of macs) await startMachine(`crowd${mac.at(-1)}`, mac);
  const given = macs.map(promisedTo);
  assert.match((await probing)['probe-lease'] ?? '', /^ok: /);
  const probesOwn = /^ok: (\S+) leased/.exec((await probing)['probe-lease'] ?? '')?.[1];
  assert.equal(new Set([...given, probesOwn]).size, 5);
});

probes('a pool with no address to spare is not probed, and that is no failure', async () => {
  await network('stp = no', 'dhcp-range = 192.168.100.2-192.168.100.3');
  const stages = await probed();
  assert.match(stages['probe-lease'] ?? '', /^skipped: no address of dhcp-range is free/);
  await network('stp = no');
});

probes('a next hop that answers nobody is no failure either', async () => {
  await run(world, 'nft', 'add table ip silent');
  await run(world, 'nft', 'add chain ip silent in { type filter hook input priority 0; }');
  await run(world, 'nft', 'add rule ip silent in udp dport != 53 drop');
  await run(world, 'nft', 'add rule ip silent in meta l4proto icmp drop');
  assert.match(
    (await probed())['probe-return'] ?? '',
    /^ok: 203\.0\.113\.2 answers neither a machine nor this host; packets leave as they should$/,
  );
  await run(world, 'nft', 'delete table ip silent');
});

probes('without ping it knocks by UDP', async () => {
  await execa('mv', ['/usr/bin/ping', '/usr/bin/ping.away']);
  assert.equal((await probed())['probe-return'], `ok: ${internetAddress} answers`);
  await execa('mv', ['/usr/bin/ping.away', '/usr/bin/ping']);
});

probes('without nft it does not count, and says so', async () => {
  await network('stp = no', 'firewall = iptables');
  await execa('mv', ['/usr/sbin/nft', '/usr/sbin/nft.away']);
  const stages = await probed();
  await execa('mv', ['/usr/sbin/nft.away', '/usr/sbin/nft']);
  assert.equal(stages['probe-forward'], 'skipped: nft is not on this host: packets cannot be counted');
  assert.equal(stages['probe-return'], `ok: ${internetAddress} answers`);
});

probes(
  'the watcher sends one when it has established the network, and status says what came of it',
  async () => {
    await network('stp = no');
    await execa('iptables', ['-P', 'FORWARD', 'DROP']);
    await startLibvirtd();
    await startWatcher();
    const status = async () => JSON.parse((await get('/status')) ?? '{}').networks?.[0];
    await until(async () => (await status())?.probe != null, 20);
    const { probe, problems } = await status();
    assert.equal(probe.passed, false);
    assert.equal(probe.seen, `a packet to ${internetAddress} is dropped by the policy of ip filter FORWARD`);
    assert(problems.some((line: string) => line.includes(probe.seen) && line.includes('virlan doctor')));
    assert(logLines().some(({ msg }) => msg === `probe: ${probe.seen}`));
    await stopWatcher();
    assert(!isOut());
  },
);

probes(
  'the log of the watcher says that the outside was not tested on a host without an uplink',
  async () => {
    await execa('iptables', ['-P', 'FORWARD', 'ACCEPT']);
    await execa('ip', ['route', 'delete', 'default']);
    await startWatcher();
    const about = () => logLines().filter(({ msg }) => String(msg).startsWith('probe: a machine'));
    await until(() => about().length > 0, 20);
    assert.equal(
      about()[0]?.msg,
      'probe: a machine gets its lease and names; the outside was not tested: ' +
        'this host has no way to the outside',
    );
    await stopWatcher();
    await execa('ip', ['route', 'add', 'default', 'via', internetAddress]);
  },
);

probes.run();
