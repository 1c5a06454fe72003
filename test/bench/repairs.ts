// repairs.ts: measures how long the watcher takes to repair damages.
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

/** The time limit of a repair. */
const budgetMs = 1000;

/** The pause between two repairs, so that each is measured on an idle host. */
const pauseMs = 700;

const log = '/var/log/virlan.log';
const directory = '/var/lib/dnsmasq/k8s-br0';

type Damage = [name: string, inflict: () => unknown];

/** Each is repaired once per watcher, which would pause after a third repair within a minute. */
const damages: Damage[] = [
  ['nft flush ruleset', () => execa('nft', ['flush', 'ruleset'])],
  ['bridge deleted', () => execa('ip', ['link', 'delete', 'k8s-br0'])],
  ['address removed', () => execa('ip', ['address', 'flush', 'dev', 'k8s-br0'])],
  ['ip_forward set to 0', () => writeFileSync('/proc/sys/net/ipv4/ip_forward', '0')],
  ['dnsmasq killed', () => process.kill(Number(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8')), 'SIGKILL')],
  ["dnsmasq's configuration deleted", () => rmSync(`${directory}/dnsmasq.conf`)],
  ['hostsfile truncated', () => writeFileSync(`${directory}/hostsfile`, '')],
];

const iptablesDamages: Damage[] = [['iptables -F', () => execa('iptables', ['-F'])]];

function section(firewall: string) {
  return `[network.k8s-br0]\ndefault-network = keep\nfirewall = ${firewall}\n`;
}

const fixedHost = '[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n';

/** Measures all repairs. Returns the lines of a table; repairs over the limit are marked. */
export async function benchRepairs(): Promise<string[]> {
  // The lock prevents probes, which would repair the hostsfile before the watcher does.
  const rows = await withLock(paths.probeLock, 0, async () => [
    ...(await measure('nftables', damages)),
    ...(await measure('iptables', iptablesDamages)),
  ]);
  const columns = (cells: readonly string[]) => cells.map(cell => cell.padStart(8)).join('');
  return [
    `${`repair, in ms (${runs} times, ${budgetMs} at most)`.padEnd(44)}${columns(['min', 'median', 'max'])}`,
    ...rows.map(({ name, timesMs }) => {
      const sorted = timesMs.sort((a, b) => a - b);
      const cells = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map(time =>
        (time ?? 0).toFixed(0),
      );
      return `${name.padEnd(44)}${columns(cells)}${(sorted.at(-1) ?? 0) > budgetMs ? '  over' : ''}`;
    }),
  ];
}

async function measure(firewall: string, damageList: readonly Damage[]) {
  await configure(`${section(firewall)}${fixedHost}`);
  assert.equal((await virlan('up')).exitCode, 0);
  const rows = damageList.map(([name, inflict]) => ({ name, inflict, timesMs: [] as number[] }));
  for (let run = 0; run < runs; run++) {
    process.stderr.write(`repairs, ${firewall}, ${run + 1} of ${runs} …\n`);
    await startWatcher();
    for (const { inflict, timesMs } of rows) {
      await pause(pauseMs);
      timesMs.push(await timeRepairMs(inflict));
    }
    await stopWatcher();
  }
  return rows;
}

/** Returns the time from the damage to the log line of its repair; Infinity after ten seconds without one. */
async function timeRepairMs(inflict: () => unknown): Promise<number> {
  const { size } = statSync(log);
  const began = performance.now();
  await inflict();
  const isRepaired = () => readFileSync(log).subarray(size).includes('"code":"network-repaired"');
  return until(isRepaired).then(
    () => performance.now() - began,
    () => Number.POSITIVE_INFINITY,
  );
}
