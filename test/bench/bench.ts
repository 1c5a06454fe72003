// bench.ts: measures virlan against other programs and against limits, in parts that can be selected.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { execa } from 'execa';
import { LibvirtClient } from 'node-libvirt';
import { ipv4After, parseIpv4 } from '../../src/address/ip.ts';
import { parseMac } from '../../src/address/mac.ts';
import { formulaMac } from '../../src/identity/formula.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../src/identity/ledger-format.ts';
import { changeLedger } from '../../src/identity/store.ts';
import { listDirectory } from '../../src/system/files.ts';
import { hookEnvironment } from '../sandbox/hook-calls.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  restartLibvirtd,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { get, startWatcher, stopWatcher, watcherPid } from '../sandbox/watcher.ts';
import { benchForwards } from './forwards.ts';
import { benchGuard } from './guard.ts';
import { benchRepairs } from './repairs.ts';

/** One row of the table: a measurement, its reference, and the limit of the ratio. */
interface Row {
  readonly what: string;
  readonly against: string;
  readonly atMost: number;
  /** Medians in milliseconds. */
  readonly ours: number;
  readonly theirs: number;
}

type Measured = () => Promise<number> | number;

const rows: Row[] = [];

/** A measurement with a limit of its own, at most or at least. */
interface Limited {
  readonly what: string;
  readonly measured: number;
  readonly unit: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

const limited: Limited[] = [];

/** Measurements without a limit, as lines. */
const facts: string[] = [];

/** Measures two operations alternately, so that other load on the machine affects both. */
async function compare(
  what: string,
  against: string,
  atMost: number,
  runs: number,
  ours: Measured,
  theirs: Measured,
): Promise<void> {
  rows.push({ what, against, atMost, ...(await measurePairs(what, runs, ours, theirs)) });
}

/** Measures two things in turn. Returns the median of each. */
async function measurePairs(
  what: string,
  runs: number,
  ours: Measured,
  theirs: Measured,
): Promise<{ readonly ours: number; readonly theirs: number }> {
  process.stderr.write(`${what} …\n`);
  const times: [number[], number[]] = [[], []];
  for (let run = -1; run < runs; run++) {
    const pair = [await ours(), await theirs()] as const;
    // The first pair fills caches.
    if (run < 0) continue;
    times[0].push(pair[0]);
    times[1].push(pair[1]);
  }
  return { ours: median(times[0]), theirs: median(times[1]) };
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

/** Returns the milliseconds that a command takes in the environment of a hook. */
function timeCommand(command: string, args: readonly string[], input = ''): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(command, args, {
    env: hookEnvironment,
    input,
    stdio: ['pipe', 'ignore', 'pipe'],
    encoding: 'utf8',
  });
  const time = performance.now() - began;
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`);
  return time;
}

async function timeAsync(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Flushes all rules: libvirt keeps its chains when its network stops, but at boot there are none. */
async function flushRules(): Promise<void> {
  await execa('nft', ['flush', 'ruleset']);
}

/** Returns the milliseconds from an empty host until dnsmasq has its ports and writes its PID file. */
async function timeUp(): Promise<number> {
  await virlan('down');
  await flushRules();
  mkdirSync('/run/dnsmasq', { recursive: true });
  const watcher = watch('/run/dnsmasq');
  const began = performance.now();
  const up = execa('/usr/sbin/virlan', ['up'], { env: hookEnvironment, extendEnv: false });
  while (!existsSync('/run/dnsmasq/k8s-br0.pid')) await once(watcher, 'change');
  const time = performance.now() - began;
  watcher.close();
  await up;
  return time;
}

/** Returns the milliseconds of the first start of libvirt's network after its daemon started, as at boot. */
async function timeFirstNetStart(): Promise<number> {
  await virsh('net-destroy', 'default').catch(() => '');
  await flushRules();
  await restartLibvirtd();
  return timeAsync(() => virsh('net-start', 'default'));
}

/** Returns the milliseconds of the handbook's commands for the network alone, until dnsmasq has started. */
async function timeNetworkByHand(): Promise<number> {
  await virlan('down');
  await flushRules();
  const time = timeCommand('sh', ['test/sandbox/handbook-network.sh', 'up']);
  timeCommand('sh', ['test/sandbox/handbook-network.sh', 'down']);
  await flushRules();
  return time;
}

/**
 * Returns the milliseconds of all of the handbook's commands, from a host with libvirt's own network until dnsmasq
 * has started.
 */
async function timeHandbook(): Promise<number> {
  await virlan('down');
  await virsh('net-destroy', 'default').catch(() => '');
  await flushRules();
  const definition = `/tmp/default-${process.pid}.xml`;
  writeFileSync(definition, await virsh('net-dumpxml', '--inactive', 'default'));
  const time = await withoutHooks(async () => {
    // It would miss the chains that it made before.
    await restartLibvirtd();
    await virsh('net-autostart', 'default');
    await virsh('net-start', 'default');
    return timeCommand('sh', ['test/sandbox/handbook-network.sh', 'without-default', 'up']);
  });
  timeCommand('sh', ['test/sandbox/handbook-network.sh', 'down']);
  await flushRules();
  await virsh('net-define', definition);
  // The next part may start the network.
  await restartLibvirtd();
  return time;
}

/** Measures libvirt alone: its hooks are away meanwhile. */
async function withoutHooks(work: () => Promise<number>): Promise<number> {
  const hooks = ['daemon', 'qemu', 'network'].map(name => `/etc/libvirt/hooks/${name}`);
  for (const hook of hooks) renameSync(hook, `${hook}.away`);
  const time = await work();
  for (const hook of hooks) renameSync(`${hook}.away`, hook);
  return time;
}

/** Returns the milliseconds of the start of Debian's network for containers, from an empty host. */
async function timeLxcNet(): Promise<number> {
  await virlan('down');
  await flushRules();
  const time = timeCommand('sh', ['build/bench/lxc-net', 'start']);
  timeCommand('sh', ['build/bench/lxc-net', 'stop']);
  await flushRules();
  return time;
}

/** Returns the milliseconds of the daemon hook on an empty host. */
async function timeFirstDaemon(): Promise<number> {
  await virlan('down');
  await flushRules();
  return timeDaemon();
}

const nic = { type: 'bridge' as const, source: 'k8s-br0' };

function machineXml(name: string, mac: string): string {
  return domainXml({ name, uuid: randomUUID(), nics: [{ ...nic, mac }] });
}

function timePrepare(xml: string): number {
  return timeCommand('/etc/libvirt/hooks/qemu', ['m', 'prepare', 'begin', '-'], xml);
}

/** Returns the entry of a machine with this number, which nobody defined. */
function numberedEntry(number: number, retired: Date | null): LedgerEntry {
  const mac = parseMac(
    `52:54:01:${[16, 8, 0].map(shift => ((number >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`,
  );
  const first = parseIpv4('10.64.0.2');
  assert(mac !== null && first !== null);
  const now = new Date();
  return {
    network: 'k8s-br0',
    uuid: randomUUID(),
    name: `machine-${number}`,
    nic: 0,
    macs: [mac],
    ip: ipv4After(first, number),
    hostname: `machine-${number}`,
    aliases: [],
    boot: null,
    group: null,
    isolated: false,
    refusedAliases: [],
    firstSeen: now,
    lastSeen: now,
    macOrigin: 'own',
    replacedMac: null,
    booted: true,
    retired,
    problem: null,
    host: null,
    revision: null,
  };
}

/** Replaces the ledger, and the hostsfile that follows from it. */
async function fillLedger(present: number, retired: number): Promise<void> {
  rmSync('/var/lib/virlan/ledger', { recursive: true, force: true });
  await virlan('down');
  await configure('[network.k8s-br0]\nsubnet = 10.64.0.0/12\ndefault-network = keep\n');
  const entries = Array.from({ length: present + retired }, (_, number) => ({
    fields: {},
    entry: numberedEntry(number, number < present ? null : new Date()),
  }));
  await changeLedger(() => ({ ledger: Ledger.of(entries), result: null }));
  assert.equal((await virlan('up')).exitCode, 0);
}

async function timeStart(name: string): Promise<number> {
  const time = await timeAsync(() => startMachine(name));
  await destroyMachine(name);
  return time;
}

/** Measures what libvirt's calls of a hook cost a machine's start if the hook does nothing. */
async function benchIdleStart(): Promise<void> {
  const hook = '/etc/libvirt/hooks/qemu';
  const withIdleHook = () =>
    withoutHooks(async () => {
      writeFileSync(hook, '#!/bin/sh\nexit 0\n', { mode: 0o755 });
      const time = await timeStart('theirs');
      rmSync(hook);
      return time;
    });
  const what = 'virsh start on libvirt’s own network, with a hook that only exits';
  const { ours, theirs } = await measurePairs(what, 15, withIdleHook, () =>
    withoutHooks(() => timeStart('theirs')),
  );
  facts.push(
    `${what}: ${(ours / theirs).toFixed(2)} × without (${ours.toFixed(0)} and ${theirs.toFixed(0)} ms)`,
  );
}

async function benchStart(watcherState: string): Promise<void> {
  await compare(
    `virsh start on virlan, with hooks, watcher ${watcherState}`,
    'on libvirt’s own network, without hooks',
    1.05,
    15,
    () => timeStart('ours'),
    () => withoutHooks(() => timeStart('theirs')),
  );
}

function python() {
  return timeCommand('python3', ['-c', '0']);
}

function node() {
  return timeCommand('node', ['-e', '0']);
}

const known = machineXml('known', '52:54:00:0b:00:01');
let newMachines = 0;

function newMachine(): string {
  const mac = `52:54:00:0c:00:${newMachines.toString(16).padStart(2, '0')}`;
  return machineXml(`new${newMachines++}`, mac);
}

function timeDaemon(): number {
  return timeCommand('/etc/libvirt/hooks/daemon', ['-', 'start', '-', 'start']);
}

const handbook = 'the handbook’s commands as a script';
const networkByHand = 'those of them that make the network';

async function benchUp(): Promise<void> {
  const what = 'virlan up, from nothing until DHCP answers';
  await compare(what, 'first virsh net-start default', 0.5, 11, timeUp, timeFirstNetStart);
  await compare(what, handbook, 1.2, 15, timeUp, timeHandbook);
  await compare(what, networkByHand, 1.2, 15, timeUp, timeNetworkByHand);
}

/** Measures how soon a host has its network when libvirtd starts. */
async function benchFirstDaemon(): Promise<void> {
  await startWatcher();
  const what = 'daemon hook, from nothing, watcher there';
  await compare(what, handbook, 0.6, 15, timeFirstDaemon, timeHandbook);
  await compare(what, networkByHand, 0.6, 15, timeFirstDaemon, timeNetworkByHand);
  await compare(what, 'lxc-net start', 1.5, 15, timeFirstDaemon, timeLxcNet);
  await stopWatcher();
}

function benchIdleHook(): Promise<void> {
  const timeHook = () => timeCommand('/etc/libvirt/hooks/qemu', ['m', 'started', 'begin', '-']);
  const shell = () => timeCommand('sh', ['-c', ':']);
  return compare('qemu hook, operations without work', 'sh -c :', 3, 60, timeHook, shell);
}

async function benchPrepare(): Promise<void> {
  const what = 'qemu hook prepare, watcher away';
  await compare(`${what}, known machine`, 'node -e 0', 1.5, 25, () => timePrepare(known), node);
  await compare(`${what}, new machine`, 'node -e 0', 2, 25, () => timePrepare(newMachine()), node);
}

function benchDaemon(): Promise<void> {
  const what = 'daemon hook, host already right, watcher away';
  return compare(what, 'node -e 0', Number.POSITIVE_INFINITY, 11, timeDaemon, node);
}

async function benchStarts(): Promise<void> {
  await configure('[network.k8s-br0]\ndefault-network = keep\n');
  assert.equal((await virlan('up')).exitCode, 0);
  // Where `up` was measured before, it is active.
  await virsh('net-start', 'default').catch(() => '');
  await define(domainXml({ name: 'ours', nics: [nic] }));
  await define(domainXml({ name: 'theirs', nics: [{ type: 'network', source: 'default' }] }));
  await benchIdleStart();
  await benchStart('away');
  await startWatcher();
  await benchStart('there');
  await stopWatcher();
}

async function benchWatcher(): Promise<void> {
  await startWatcher();
  await compare('daemon hook, host already right, watcher there', 'python3 -c 0', 1, 25, timeDaemon, python);
  const what = 'qemu hook prepare, watcher there';
  await compare(`${what}, known machine`, 'python3 -c 0', 1, 25, () => timePrepare(known), python);
  await compare(`${what}, new machine`, 'python3 -c 0', 1, 25, () => timePrepare(newMachine()), python);
  await benchDefine();
  await stopWatcher();
}

async function benchRaces(): Promise<void> {
  for (const busyLoops of [0, 2]) await benchRace(busyLoops);
}

const ledgerDirectory = '/var/lib/virlan/ledger';
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

/** Keeps the present ledger and hostsfile under a name. Moving them takes as long for large ones as for small. */
function keepAs(name: string): void {
  renameSync(ledgerDirectory, `${ledgerDirectory}.${name}`);
  renameSync(hostsfile, `${hostsfile}.${name}`);
}

function takeBack(name: string): void {
  renameSync(`${ledgerDirectory}.${name}`, ledgerDirectory);
  renameSync(`${hostsfile}.${name}`, hostsfile);
}

async function benchReservations(): Promise<void> {
  const sizes = [
    { name: 'few', what: '10 reservations', present: 10, retired: 0 },
    { name: 'many', what: '10,000 reservations', present: 10_000, retired: 0 },
    { name: 'retired', what: '100,000 retired', present: 10, retired: 100_000 },
  ];
  for (const { name, what, present, retired } of sizes) {
    process.stderr.write(`making ${what} …\n`);
    await fillLedger(present, retired);
    timePrepare(known);
    keepAs(name);
  }
  // Files that were just written are not part of the measurement.
  await execa('sync');
  const timeWith = (name: string, xml: () => string) => () => {
    takeBack(name);
    // dnsmasq is told of the other hostsfile.
    timePrepare(known);
    const time = timePrepare(xml());
    keepAs(name);
    return time;
  };
  for (const { name, what } of sizes.slice(1)) {
    for (const [kind, xml] of [['known', () => known] as const, ['new', newMachine] as const]) {
      const title = `prepare, ${kind} machine, ${what}`;
      await compare(title, 'with 10 reservations', 1.5, 21, timeWith(name, xml), timeWith('few', xml));
    }
  }
  takeBack('few');
  rmSync(ledgerDirectory, { recursive: true, force: true });
}

async function benchRepair(): Promise<void> {
  await virlan('down');
  facts.push(...(await benchRepairs()));
}

/** Name → part of the benchmark, in order. */
const parts: ReadonlyMap<string, () => Promise<void>> = new Map([
  ['up', benchUp],
  ['idle-hook', benchIdleHook],
  ['prepare', benchPrepare],
  ['daemon', benchDaemon],
  ['first-daemon', benchFirstDaemon],
  ['start', benchStarts],
  ['watcher', benchWatcher],
  ['race', benchRaces],
  ['reservations', benchReservations],
  ['guard', () => benchGuard(compare)],
  ['forwards', () => benchForwards(compare)],
  ['repair', benchRepair],
  ['thousand', benchThousand],
]);

/** Runs the selected parts, or all. Before each part the network is up and no watcher runs. */
async function main(wanted: readonly string[]): Promise<void> {
  const unknown = wanted.find(name => !parts.has(name));
  if (unknown !== undefined)
    throw new Error(`unknown part ${unknown}; parts: ${[...parts.keys()].join(', ')}`);
  await installVirlan();
  await startLibvirtd();
  for (const [name, bench] of parts) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    await configure('[network.k8s-br0]\ndefault-network = keep\n');
    assert.equal((await virlan('up')).exitCode, 0);
    await bench();
  }
  report();
}

/**
 * Measures how often a machine that starts right after its definition boots with its formula MAC, beside this
 * number of loops that use up a core each. Begins with the first definition after the watcher's start.
 */
async function benchRace(busyLoops: number): Promise<void> {
  process.stderr.write(`virsh define && virsh start, ${busyLoops} busy loops …\n`);
  const loops = Array.from({ length: busyLoops }, () => spawn('sh', ['-c', 'while :; do :; done']));
  await startWatcher();
  const runs = 100;
  let assigned = 0;
  for (let run = 0; run < runs; run++) {
    const name = `race${busyLoops}-${run}`;
    const mac = `52:54:00:0d:0${busyLoops}:${run.toString(16).padStart(2, '0')}`;
    writeFileSync('/tmp/race.xml', domainXml({ name, nics: [{ ...nic, mac }] }));
    timeCommand('virsh', ['-c', 'qemu:///system', 'define', '/tmp/race.xml']);
    timeCommand('virsh', ['-c', 'qemu:///system', 'start', '--paused', name]);
    const formula = formulaMac({ network: 'k8s-br0', machine: name, nic: 0 }, () => false);
    if ((await virsh('dumpxml', name)).includes(formula)) assigned++;
    await destroyMachine(name);
    await virsh('undefine', '--domain', name);
  }
  for (const loop of loops) loop.kill('SIGKILL');
  await stopWatcher();
  const load = busyLoops === 0 ? '' : ` beside ${busyLoops} busy loops`;
  limited.push({
    what: `virsh define && virsh start${load} boots with the formula's MAC`,
    measured: assigned,
    unit: `of ${runs} times`,
    atLeast: 99,
  });
}

/** Measures how soon a machine that was defined has its formula MAC. */
async function benchDefine(): Promise<void> {
  const client = new LibvirtClient();
  const connected = new Promise(resolve => client.on('connected', resolve));
  client.start();
  await connected;
  const times: number[] = [];
  for (let run = 0; run < 30; run++) {
    const xml = domainXml({ name: `soon${run}`, nics: [{ ...nic, mac: '52:54:00:0e:00:01' }] });
    const redefined = new Promise<void>(resolve => {
      const stop = client.on('event', event => {
        if (event.kind !== 'domain-lifecycle' || event.event !== 'defined' || event.detail !== 'updated')
          return;
        stop();
        resolve();
      });
    });
    const began = performance.now();
    const domain = await client.domainDefineXmlFlags(xml);
    await redefined;
    times.push(performance.now() - began);
    await virsh('undefine', '--domain', domain.name);
  }
  await client.close();
  facts.push(
    `from definition to the formula's MAC in it: ${median(times).toFixed(1)} ms (median of ${times.length})`,
  );
}

/** Measures the watcher with a thousand machines. */
async function benchThousand(): Promise<void> {
  process.stderr.write('a thousand machines …\n');
  await configure('[network.k8s-br0]\nsubnet = 10.77.0.0/16\ndefault-network = keep\n');
  for (let index = 0; index < 1000; index++) {
    writeFileSync(
      `/etc/libvirt/qemu/many${index}.xml`,
      domainXml({ name: `many${index}`, uuid: randomUUID(), nics: [nic] }),
    );
  }
  await restartLibvirtd();
  const before = timeDumps();
  const began = performance.now();
  await startWatcher();
  await until(() => listDirectory('/var/lib/virlan/ledger/machines').length >= 1000, 120);
  const settled = performance.now() - began;
  rows.push({
    what: 'a thousand machines defined while the watcher was away',
    against: 'virsh dumpxml of a thousand machines over one connection',
    atMost: 3,
    ours: settled,
    theirs: median([before, timeDumps(), timeDumps()]),
  });
  await stopWatcher();
  // libvirt gave each machine a MAC of its own, which only a new definition replaces.
  rows.push({
    what: 'the same',
    against: 'virsh define of a thousand machines over one connection',
    atMost: Number.POSITIVE_INFINITY,
    ours: settled,
    theirs: timeDefines(),
  });
  const again = performance.now();
  await startWatcher();
  await until(async () => /last_reconcile_timestamp_seconds [1-9]/.test((await get('/metrics')) ?? ''), 60);
  facts.push(
    `start of the watcher and reconcile of a thousand machines: ${((performance.now() - again) / 1000).toFixed(1)} s`,
  );
  // After the start: probes and libvirt's networks.
  await new Promise(resolve => setTimeout(resolve, 15_000));
  const ticks = watcherTicks();
  const seconds = 60;
  await new Promise(resolve => setTimeout(resolve, seconds * 1000));
  // Ticks are hundredths of a second (USER_HZ).
  const percent = (watcherTicks() - ticks) / seconds;
  limited.push({
    what: 'idle watcher with a thousand machines',
    measured: percent,
    unit: '% of a core',
    atMost: 0.3,
  });
  const [, kilobytes = ''] =
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${watcherPid()}/status`, 'utf8')) ?? [];
  const memory = Number(kilobytes) / 1024;
  limited.push({
    what: "watcher's memory with a thousand machines",
    measured: memory,
    unit: 'MiB',
    atMost: 90,
  });
  await stopWatcher();
}

/** Returns the milliseconds that libvirt takes to print the thousand machines. */
function timeDumps(): number {
  return timeForThousand(name => `dumpxml ${name}`);
}

/** Returns the milliseconds that libvirt takes to define the thousand machines again, as they are. */
function timeDefines(): number {
  return timeForThousand(name => `define /etc/libvirt/qemu/${name}.xml`);
}

function timeForThousand(command: (name: string) => string): number {
  const commands = Array.from({ length: 1000 }, (_, index) => `${command(`many${index}`)}\n`).join('');
  return timeCommand('virsh', ['-c', 'qemu:///system', '--quiet'], commands);
}

/** Returns the time that the watcher and the programs that it waited for have used, in hundredths of a second. */
function watcherTicks(): number {
  const fields = readFileSync(`/proc/${watcherPid()}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0);
}

function report(): void {
  const text = (number: number) => (Number.isFinite(number) ? number.toFixed(2) : '-');
  console.log(
    `${''.padEnd(50)}  ${'ms'.padStart(7)}  ${'ms'.padStart(7)}  ${'ratio'.padStart(6)}  ${'at most'.padStart(7)}`,
  );
  for (const { what, against, atMost, ours, theirs } of rows) {
    const verdict = ours / theirs <= atMost ? '' : '  over';
    console.log(
      `${what.padEnd(50)}  ${ours.toFixed(1).padStart(7)}  ${theirs.toFixed(1).padStart(7)}  ${text(ours / theirs).padStart(6)}  ${text(atMost).padStart(7)}${verdict}`,
    );
    console.log(`    against ${against}`);
  }
  for (const { what, measured, unit, atMost, atLeast } of limited) {
    const isOver = measured > (atMost ?? Number.POSITIVE_INFINITY) || measured < (atLeast ?? 0);
    const limit = atMost === undefined ? `${atLeast} at least` : `${atMost} at most`;
    console.log(`${what}: ${Number(measured.toFixed(2))} ${unit}, ${limit}${isOver ? '  over' : ''}`);
  }
  for (const fact of facts) console.log(fact);
  writeSync(
    3,
    `${JSON.stringify({ node: process.version, facts, limited, rows: rows.map(row => ({ ...row, ratio: row.ours / row.theirs })) }, null, 2)}\n`,
  );
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.stack);
    process.exit(1);
  },
);
