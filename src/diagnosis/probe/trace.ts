// Traces the rules that the packets of a probe meet, by `nft monitor`:
// `trace id 92e81a45 ip filter FORWARD rule tcp dport 22 drop (verdict drop)`.
import { setTimeout as pause } from 'node:timers/promises';
import { run, runOrNull } from '../../system/run.ts';
import { removeCounters } from './counters.ts';
import { counterTable } from './names.ts';

/** Longest time for a whole trace. */
const traceTimeoutMs = 9000;

/** Interval of loading the table until `nft monitor` reports it. */
const reloadIntervalMs = 100;

/**
 * Loads a table that makes the kernel report packets, and runs `act`, which sends them. Returns the lines of
 * `nft monitor`, also when it ends early or after the timeout.
 */
export async function traced(table: string, act: () => Promise<unknown>): Promise<readonly string[]> {
  const { startProgram } = await import('../../system/execa.ts');
  const monitor = startProgram('nft', ['monitor'], {
    stdin: 'ignore',
    stderr: 'ignore',
    buffer: false,
    reject: false,
    timeout: traceTimeoutMs,
  });
  const lines: string[] = [];
  let phase: 'starting' | 'listening' | 'over' = 'starting';
  const read = async () => {
    for await (const line of monitor) {
      lines.push(line);
      if (phase === 'starting' && line.startsWith(`add table ip ${counterTable}`)) phase = 'listening';
      // The last relevant line.
      if (phase === 'over' && line.startsWith(`delete table ip ${counterTable}`)) monitor.kill();
    }
  };
  const reading = read();
  try {
    // nft does not report when it begins to listen: the table is loaded again until it is reported.
    do {
      await run('nft', ['-f', '-'], { input: table });
      await Promise.race([reading, pause(reloadIntervalMs)]);
    } while (phase === 'starting' && monitor.exitCode === null && monitor.signalCode === null);
    await act();
    phase = 'over';
    await runOrNull('nft', ['-f', '-'], { input: removeCounters });
    await reading;
  } finally {
    monitor.kill();
    await reading;
  }
  return lines;
}
