// bench.ts: measures virlan against other programs and against limits, in parts that can be selected.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
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

/** Measurements without a reference, as lines. */
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
  process.stderr.write(`${what} …\n`);
  const times: [number[], number[]] = [[], []];
  for (let run = -1; run < runs; run++) {
    const pair = [await ours(), await theirs()] as const;
    // The first pair fills caches.
    if (run < 0) continue;
    times[0].push(pair[0]);
    times[1].push(pair[1]);
  }
  rows.push({ what, against, atMost, ours: median(times[0]), theirs: median(times[1]) });
}

function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

/** Returns the milliseconds that a command takes in the environment of a hook. */
function timeCommand(command: string, args: readonly string[], input = ''): number {
  const began = performance.now();
  const { status, stderr } = spawnSync(command, args, { env: hookEnvironment, input, encoding: 'utf8' });
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
    refusedAliases: [],
    firstSeen: now,
    lastSeen: now,
    macOrigin: 'own',
    replacedMac: null,
    booted: true,
    retired,
    problem: null,
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

async function benchStart(watcherState: string): Promise<void> {
  const withoutHooks = async (work: () => Promise<number>) => {
    renameSync('/etc/libvirt/hooks/qemu', '/etc/libvirt/hooks/qemu.away');
    renameSync('/etc/libvirt/hooks/network', '/etc/libvirt/hooks/network.away');
    const time = await work();
    renameSync('/etc/libvirt/hooks/qemu.away', '/etc/libvirt/hooks/qemu');
    renameSync('/etc/libvirt/hooks/network.away', '/etc/libvirt/hooks/network');
    return time;
  };
  const timeStart = async (name: string) => {
    const time = await timeAsync(() => startMachine(name));
    await destroyMachine(name);
    return time;
  };
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

function benchUp(): Promise<void> {
  const what = 'virlan up, from nothing until DHCP answers';
  return compare(what, 'first virsh net-start default', 0.5, 7, timeUp, timeFirstNetStart);
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
  // Where \`up\` was measured before, it is active.
  await virsh('net-start', 'default').catch(() => '');
  await define(domainXml({ name: 'ours', nics: [nic] }));
  await define(domainXml({ name: 'theirs', nics: [{ type: 'network', source: 'default' }] }));
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

async function benchReservations(): Promise<void> {
  const sizes = [
    { what: '10 reservations', present: 10, retired: 0 },
    { what: '10,000 reservations', present: 10_000, retired: 0 },
    { what: '100,000 retired', present: 10, retired: 100_000 },
  ];
  const medians: { what: string; known: number; new: number }[] = [];
  for (const { what, present, retired } of sizes) {
    process.stderr.write(`qemu hook prepare with ${what} …\n`);
    await fillLedger(present, retired);
    timePrepare(known);
    const runs = (xml: () => string) => median(Array.from({ length: 21 }, () => timePrepare(xml())));
    medians.push({ what, known: runs(() => known), new: runs(newMachine) });
  }
  const [few, ...others] = medians;
  assert(few !== undefined);
  for (const many of others) {
    for (const kind of ['known', 'new'] as const) {
      rows.push({
        what: `prepare, ${kind} machine, ${many.what}`,
        against: 'with 10 reservations',
        atMost: 1.5,
        ours: many[kind],
        theirs: few[kind],
      });
    }
  }
  rmSync('/var/lib/virlan/ledger', { recursive: true, force: true });
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
  ['start', benchStarts],
  ['watcher', benchWatcher],
  ['race', benchRaces],
  ['reservations', benchReservations],
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
  facts.push(
    `virsh define && virsh start${load} boots with the formula's MAC: ${assigned} of ${runs} times (99 wanted)`,
  );
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
  const began = performance.now();
  await startWatcher();
  await until(() => readdirSync('/var/lib/virlan/ledger/machines').length >= 1000, 120);
  facts.push(
    `a thousand machines defined while the watcher was away, all with MAC and reservation after: ${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
  await stopWatcher();
  const again = performance.now();
  await startWatcher();
  await until(async () => /last_reconcile_timestamp_seconds [1-9]/.test((await get('/metrics')) ?? ''), 60);
  facts.push(
    `start of the watcher and reconcile of a thousand machines: ${((performance.now() - again) / 1000).toFixed(1)} s`,
  );
  const cpuTicks = () => {
    const fields = readFileSync(`/proc/${watcherPid()}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = cpuTicks();
  await new Promise(resolve => setTimeout(resolve, 60_000));
  // Ticks are hundredths of a second (USER_HZ), measured over a minute.
  facts.push(`idle watcher: ${((cpuTicks() - before) / 60).toFixed(2)} % of one processor`);
  const [, kilobytes = ''] =
    /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${watcherPid()}/status`, 'utf8')) ?? [];
  facts.push(
    `watcher's memory with a thousand machines: ${(Number(kilobytes) / 1024).toFixed(0)} MiB (90 at most)`,
  );
  await stopWatcher();
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
  for (const fact of facts) console.log(fact);
  writeSync(
    3,
    `${JSON.stringify({ node: process.version, facts, rows: rows.map(row => ({ ...row, ratio: row.ours / row.theirs })) }, null, 2)}\n`,
  );
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.stack);
    process.exit(1);
  },
);
