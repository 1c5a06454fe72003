import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { withLock } from '../../src/system/lock.ts';
import { paths } from '../../src/system/paths.ts';
import { configure, virlan } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { startWatcher, stopWatcher } from '../sandbox/watcher.ts';

const runs = 20;

/** The longest that a repair may take, in milliseconds. */
const budget = 1000;

/** How long the watcher is left alone between two repairs, in milliseconds: they are measured on a host at rest. */
const rest = 700;

const log = '/var/log/virlan.log';
const directory = '/var/lib/dnsmasq/k8s-br0';

type Damage = [what: string, harm: () => unknown];

/** Each is repaired once before the watcher is started anew: a third time within a minute it would be left alone. */
const damages: Damage[] = [
  ['nft flush ruleset', () => execa('nft', ['flush', 'ruleset'])],
  ['bridge deleted', () => execa('ip', ['link', 'delete', 'k8s-br0'])],
  ['address removed', () => execa('ip', ['address', 'flush', 'dev', 'k8s-br0'])],
  ['ip_forward set to 0', () => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0')],
  ['dnsmasq killed', () => process.kill(Number(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8')), 'SIGKILL')],
  ["dnsmasq's configuration deleted", () => rmSync(`${directory}/dnsmasq.conf`)],
  ['hostsfile truncated', () => writeFileSync(`${directory}/hostsfile`, '')],
];

const inIptables: Damage[] = [['iptables -F', () => execa('iptables', ['-F'])]];

function section(firewall: string) {
  return `[network.k8s-br0]\ndefault-network = keep\nfirewall = ${firewall}\n`;
}

const fixedHost = '[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n';

/** How long the watcher takes to put right what others break: a table, and a line for each that takes too long. */
export async function benchRepairs(): Promise<string[]> {
  // No probe meanwhile: it writes the hostsfile, too, and puts it right before the watcher has a look.
  const rows = await withLock(paths.probeLock, 0, async () => [
    ...(await measure('nftables', damages)),
    ...(await measure('iptables', inIptables)),
  ]);
  const columns = (cells: readonly string[]) => cells.map(cell => cell.padStart(8)).join('');
  return [
    `${`repair, in ms (${runs} times, ${budget} at most)`.padEnd(44)}${columns(['min', 'median', 'max'])}`,
    ...rows.map(({ what, times }) => {
      const sorted = times.sort((a, b) => a - b);
      const cells = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map(time =>
        (time ?? 0).toFixed(0),
      );
      return `${what.padEnd(44)}${columns(cells)}${(sorted.at(-1) ?? 0) > budget ? '  over' : ''}`;
    }),
  ];
}

async function measure(firewall: string, kinds: readonly Damage[]) {
  await configure(`${section(firewall)}${fixedHost}`);
  assert.equal((await virlan('up')).exitCode, 0);
  const rows = kinds.map(([what, harm]) => ({ what, harm, times: [] as number[] }));
  for (let run = 0; run < runs; run++) {
    process.stderr.write(`repairs, ${firewall}, ${run + 1} of ${runs} …\n`);
    await startWatcher();
    for (const { harm, times } of rows) {
      await pause(rest);
      times.push(await timeRepair(harm));
    }
    await stopWatcher();
  }
  return rows;
}

/** From the harm until the watcher has put it right and said so; Infinity when it has not after ten seconds. */
async function timeRepair(harm: () => unknown): Promise<number> {
  const { size } = statSync(log);
  const began = performance.now();
  await harm();
  const isRepaired = () => readFileSync(log).subarray(size).includes('"network repaired"');
  return until(isRepaired).then(
    () => performance.now() - began,
    () => Number.POSITIVE_INFINITY,
  );
}
