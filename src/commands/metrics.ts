// `virlan metrics`: prints the metrics of the watcher, or writes them into a file for node_exporter.
import { resolve } from 'node:path';
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { collectStatus } from '../operations/collect-status.ts';
import { system } from '../system/system.ts';
import { watcherAnswer } from './watcher-answer.ts';

/** Prints the metrics, or writes them into the file of --output. Returns the exit code. */
export async function metrics({ config, json, output }: Values): Promise<number> {
  const text = (await watcherAnswer(config, '/metrics')) ?? (await readMetrics(config));
  // A reader of the directory sees the old file or the new one, never a part.
  if (output !== null) system.writeFile(resolve(output), text);
  if (json) printJson({ output: output === null ? null : resolve(output), metrics: text });
  else if (output === null) print(text.trimEnd());
  return 0;
}

async function readMetrics(path: string): Promise<string> {
  const { Metrics } = await import('../watcher/metrics.ts');
  const config = loadConfig(path);
  return new Metrics().render(config.networks, await collectStatus(config));
}
