// scale.ts: measures the parts of a cluster of 1,000 hosts and 100,000 machines, and prints them as a table.
import { cpus, loadavg } from 'node:os';
import { formatIp } from '../../../src/address/ip.ts';
import { reservationLine } from '../../../src/dnsmasq/hostsfile.ts';
import { nameLine } from '../../../src/dnsmasq/names.ts';
import { Ledger } from '../../../src/identity/ledger.ts';
import type { LedgerEntry } from '../../../src/identity/ledger-format.ts';
import { changeLedger, readLedger } from '../../../src/identity/store.ts';
import { countFree, ownBlocks, planClaims } from '../../../src/shared-ledger/blocks.ts';
import { planImports } from '../../../src/shared-ledger/imports.ts';
import { planDrops, planPushes } from '../../../src/shared-ledger/pushes.ts';
import { planYields } from '../../../src/shared-ledger/yields.ts';
import { aDate } from '../../unit/builders.ts';
import { hostCount, MemorySource, machineCount, prefix, SimulatedCluster } from './cluster.ts';
import { RealEtcd, watchAs } from './etcd.ts';
import { measureDnsmasq, measureKernel } from './programs.ts';

/** Machines that are written to the ledger on disk. Each has a file and some links, whatever the others are. */
const machinesOnDisk = 5000;

/** Changes of machines, one after the other, that a session follows. */
const changes = 1000;

function say(what: string, measured: string): void {
  console.log(`${what.padEnd(76)} ${measured}`);
}

function ms(time: number): string {
  return `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function timed<T>(work: () => T): [T, number] {
  const began = performance.now();
  return [work(), performance.now() - began];
}

/** Fills a cluster and reports how its addresses were given. */
function simulate(subnet: string): SimulatedCluster {
  const [cluster, joined] = timed(() => new SimulatedCluster(subnet));
  const [, filled] = timed(() => cluster.fill());
  const { blocks } = cluster.mirror();
  say(`${subnet}: ${hostCount} hosts join (simulation, all hosts in one process)`, ms(joined));
  say(`${subnet}: ${machineCount} machines defined`, ms(filled));
  say(`${subnet}: machines with an address, none of them twice`, `${cluster.addresses().length}`);
  say(`${subnet}: blocks of 16 addresses that are claimed`, `${blocks.size}`);
  say(`${subnet}: transactions that another host was faster than`, `${cluster.refused}`);
  return cluster;
}

/** Measures a round of a host whose ledger has the machines of all hosts. Returns its entries. */
function measureRound(cluster: SimulatedCluster): LedgerEntry[] {
  const { network, hosts } = cluster;
  const mirror = cluster.mirror();
  const [host] = hosts;
  if (host === undefined) throw new Error('a cluster has hosts');
  const { member } = host;
  const [imports, importing] = timed(() => planImports(member, host.entries, mirror, () => 'off'));
  const entries = [
    ...host.entries.filter(own => own.revision !== null),
    ...imports.flatMap(({ after }) => after),
  ];
  const ledger = new MemorySource().write(Ledger.of(entries.map(entry => ({ entry, fields: {} }))));
  say('plan: first import of all machines', ms(importing));
  const steps: readonly (readonly [string, () => unknown])[] = [
    ['claims', () => planClaims(member, network, entries, ledger, mirror, host.blocks)],
    ['own blocks', () => ownBlocks(member, network, mirror, host.blocks)],
    ['count of free addresses', () => countFree(network, host.blocks, ledger)],
    ['yields', () => planYields(member, entries, ledger, mirror)],
    ['pushes', () => planPushes(member, entries, ledger, mirror, () => false)],
    ['drops', () => planDrops(member, entries, mirror, 0, aDate)],
    ['imports, nothing new', () => planImports(member, entries, mirror, () => 'off')],
  ];
  for (const [what, work] of steps) say(`plan: ${what}`, ms(timed(work)[1]));
  return entries;
}

async function measureEtcd(program: string, cluster: SimulatedCluster): Promise<void> {
  const { keys } = cluster.etcd;
  const sizes = [...keys].map(([key, { value }]) => [key.length, value.length] as const);
  const sum = (index: 0 | 1) => sizes.reduce((total, size) => total + size[index], 0);
  say('keys', `${keys.size}`);
  say('bytes of keys, of values', `${mib(sum(0))}, ${mib(sum(1))}`);
  const etcd = await RealEtcd.start(program);
  const began = performance.now();
  await etcd.load(keys);
  say('etcd: writing them, 100 in a transaction', ms(performance.now() - began));
  const { memory, database } = etcd.costs();
  say('etcd: database, memory', `${database.toFixed(0)} MiB, ${memory.toFixed(0)} MiB`);
  const [host] = cluster.hosts;
  if (host === undefined) throw new Error('a cluster has hosts');
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  // A new host: the keys of those that the simulation has are not its own.
  const watching = await watchAs({ ...host.member, host: cluster.outsider });
  say('session: reads all keys and registers', ms(watching.began));
  say('session: longest time for which the process does nothing else', ms(watching.longestBlock));
  globalThis.gc?.();
  say('session: memory that it keeps', mib(process.memoryUsage().rss - before));
  say('etcd: memory after it', `${etcd.costs().memory.toFixed(0)} MiB`);
  const machines = [...keys].filter(([key]) => key.startsWith(`${prefix}machine/`)).slice(0, changes);
  const [last = ''] = machines.at(-1) ?? [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  const revision = await etcd.touch(machines);
  const written = performance.now();
  await watching.reach(last.slice(`${prefix}machine/`.length), revision);
  const { user, system } = process.cpuUsage(cpu);
  say(`${changes} changes, one after the other: written in`, ms(written - start));
  say('the mirror has the last one after', ms(performance.now() - written));
  say('CPU of writing and following each', ms((user + system) / 1000 / changes));
  say('reports of the watch', `${watching.reports()}`);
  watching.end();
  etcd.end();
}

async function measureDisk(entries: readonly LedgerEntry[]): Promise<void> {
  const some = entries.slice(0, machinesOnDisk).map(entry => ({ entry, fields: {} }));
  const began = performance.now();
  await changeLedger(() => ({ ledger: Ledger.of(some), result: null }));
  say('ledger on disk (tmpfs): writing a machine', ms((performance.now() - began) / some.length));
  const [, first] = timed(() => readLedger().entries());
  const [, again] = timed(() => readLedger().entries());
  say(
    'ledger on disk: reading a machine for the first time',
    `${((1000 * first) / some.length).toFixed(0)} µs`,
  );
  say('ledger on disk: reading it again, unchanged', `${((1000 * again) / some.length).toFixed(0)} µs`);
}

async function measureFiles(entries: readonly LedgerEntry[]): Promise<void> {
  const named = entries.flatMap(({ ip, macs, hostname }) => (ip === null ? [] : [{ ip, macs, hostname }]));
  const lines = named.map(reservationLine);
  const names = named.map(({ ip, hostname }) => nameLine({ ip, names: [hostname] }));
  const size = (texts: readonly string[]) => mib(texts.join('\n').length);
  // The last one shows how the time grows with the lines of one host: a hundred thousand take dnsmasq minutes.
  const variants = [
    ['100 lines in the hostsfile, 100,000 names (a host of a cluster)', lines.slice(0, 100), names],
    ['5,000 lines in the hostsfile, 5,000 names (one host)', lines.slice(0, 5000), names.slice(0, 5000)],
    [
      '20,000 lines in the hostsfile, 20,000 names (one host)',
      lines.slice(0, 20_000),
      names.slice(0, 20_000),
    ],
  ] as const;
  for (const [what, hostsfile, all] of variants) {
    const { start, reload, memory } = await measureDnsmasq(hostsfile, all);
    say(`${what}: size`, `${size(hostsfile)}, ${size(all)}`);
    say(
      '    dnsmasq starts, reads them again, has memory',
      `${ms(start)}, ${ms(reload)}, ${memory.toFixed(0)} MiB`,
    );
  }
  const kernel = measureKernel(named.map(({ macs, ip }) => ({ mac: macs[0] ?? '', ip: formatIp(ip) })));
  say('kernel: entries of the FDBs of VXLAN and bridge, added in', `${kernel.fdb}, ${ms(kernel.fdbMs)}`);
  say('kernel: neighbours marked extern_learn, added in', `${kernel.neighbours}, ${ms(kernel.neighbourMs)}`);
  say('kernel: memory for both', `${kernel.memory.toFixed(0)} MiB`);
}

async function main([program = '']: readonly string[]): Promise<void> {
  const load = () => loadavg()[0]?.toFixed(1);
  say('CPU, load at the beginning', `${cpus().length} × ${cpus()[0]?.model}, ${load()}`);
  const cluster = simulate('10.128.0.0/15');
  const entries = measureRound(cluster);
  await measureEtcd(program, cluster);
  await measureDisk(entries);
  await measureFiles(entries);
  say('load at the end', `${load()}`);
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.stack);
    process.exit(1);
  },
);
