// `virlan forward NAME`: lists, adds and removes port forwards of a machine.
import type { Values } from '../cli/options.ts';
import { print, printJson, style, warn } from '../cli/terminal.ts';
import { type Forward, parseForward } from '../config/forward.ts';
import { loadConfig } from '../config/load.ts';
import { VirlanError } from '../errors.ts';
import { listForwards, type MachineForward } from '../operations/list-forwards.ts';
import { forTerminal } from '../text.ts';

/** Changes the forwards of a machine, if any are given, and prints those that it has then. Returns the exit code. */
export async function forward(
  { config: path, json, remove }: Values,
  name: string,
  texts: readonly string[],
): Promise<number> {
  const config = loadConfig(path);
  const forwards = texts.map(readForward);
  if (remove && forwards.length === 0)
    throw new VirlanError(
      'usage',
      'forward --remove needs the forwards to remove; see "virlan forward --help"',
    );
  if (forwards.length > 0) {
    const { changeMachineForwards } = await import('../operations/change-forwards.ts');
    await changeMachineForwards(name, forwards, remove ? 'remove' : 'add');
    const { syncForwards } = await import('../operations/sync-forwards.ts');
    const { writeEvents } = await import('../operations/write-events.ts');
    // Where no watcher runs, nothing else does it.
    await writeEvents(await syncForwards(config.networks));
  }
  const listed = listForwards(config, name);
  if (json) printJson({ name, forwards: listed });
  else if (listed.length === 0) print(`${forTerminal(name)} has no forwards`);
  else print(...listed.map(line));
  for (const { forward: text, problem } of json ? [] : listed)
    if (problem !== null && texts.includes(text)) warn(forTerminal(problem));
  return 0;
}

function readForward(text: string): Forward {
  const read = parseForward(text);
  if (read !== null) return read;
  const message = `${JSON.stringify(text)} is not a forward: write tcp/8443:443, udp/30000-30010 or "tcp/2222:22 on ADDRESS from NETWORK"`;
  throw new VirlanError('usage', message);
}

function line({ forward: text, source, active, problem }: MachineForward): string {
  const state = active
    ? style('active', 'green')
    : problem === null
      ? 'while it runs'
      : style('not active', 'yellow');
  const reason = problem === null ? '' : `: ${forTerminal(problem)}`;
  return `${text}  ${state}${source === 'metadata' ? '' : `  (${source})`}${reason}`;
}
