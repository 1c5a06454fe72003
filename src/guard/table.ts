// The guard's table in the kernel: lists, loads and changes it.

import { isAnswer } from '../answers.ts';
import { loadFirst, loadTables, runScript } from '../firewall/nft-script.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { type Denied, parseDenied } from './denied.ts';
import type { Elements } from './elements.ts';
import { type GuardListing, parseGuardListing } from './listing.ts';
import { guardTable } from './ruleset.ts';
import { changeGuardScript, createGuardScript, removeGuardScript, replaceGuardScript } from './script.ts';

type Runner = Pick<System, 'run'>;

/** Lists the table; an empty listing if there is none. Throws CommandError when nft cannot answer. */
export async function listGuard(system: Runner, bridge: string): Promise<GuardListing> {
  return parseGuardListing((await listTable(system, bridge, '--stateless')) ?? '');
}

/** Lists the rules without reading the elements; none if there is no table. Throws as above. */
export async function listGuardRules(system: Runner, bridge: string): Promise<readonly string[]> {
  return parseGuardListing((await listTable(system, bridge, '--terse', '--stateless')) ?? '').lines;
}

/** Lists what was dropped; null if there is no table. Throws as above. */
export async function listDenied(system: Runner, bridge: string): Promise<Denied[] | null> {
  const text = await listTable(system, bridge);
  return text === null ? null : parseDenied(text);
}

/** Returns what nft prints of the table; null if it fails, which means that there is none. Throws as above. */
async function listTable({ run }: Runner, bridge: string, ...options: string[]): Promise<string | null> {
  const args = [...options, '--numeric', 'list', 'table', ...guardTable(bridge).split(' ')];
  try {
    return await run('nft', args, { timeoutSeconds: listTimeoutSeconds });
  } catch (error) {
    if (isAnswer(error)) return null;
    throw error;
  }
}

/** Loads the table in place of the one that is there. Throws CommandError; the old one is in force then. */
export async function loadGuard(
  system: Runner,
  bridge: string,
  table: string,
  elements: Elements,
): Promise<void> {
  await loadFirst(
    script => loadTables(system, script),
    // Without a removal the kernel does not wait for a grace period.
    createGuardScript(bridge, table, elements),
    () => replaceGuardScript(bridge, table, elements),
  );
}

/** Changes elements of the table. Throws CommandError; nothing is changed then. */
export async function changeGuard(
  system: Runner,
  bridge: string,
  surplus: Elements,
  missing: Elements,
): Promise<void> {
  const script = changeGuardScript(bridge, surplus, missing);
  if (script !== '') await runScript(system, script);
}

/** Removes the table, if there is one. Throws CommandError. */
export async function removeGuard(system: Runner, bridge: string): Promise<void> {
  await runScript(system, removeGuardScript(bridge));
}
