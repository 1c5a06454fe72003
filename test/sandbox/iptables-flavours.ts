// The two flavours of iptables on the private host: on nf_tables, and on the tables of earlier kernels.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { virlan } from './host.ts';

export type Flavour = 'nft' | 'legacy';

/** Selects a flavour, as `update-alternatives` does. */
export async function useIptables(flavour: Flavour): Promise<void> {
  for (const program of ['iptables', 'ip6tables']) {
    for (const command of ['', '-restore', '-save'])
      await execa('ln', [
        '-sfn',
        `/usr/sbin/${program}-${flavour}${command}`,
        `/etc/alternatives/${program}${command}`,
      ]);
  }
}

/** Removes all rules, chains and policies of iptables-legacy. */
export async function clearLegacy(): Promise<void> {
  const tables = {
    filter: ['INPUT', 'FORWARD', 'OUTPUT'],
    nat: [],
    mangle: ['FORWARD'],
    raw: ['PREROUTING'],
    security: [],
  };
  for (const program of ['iptables-legacy', 'ip6tables-legacy'])
    for (const [table, policies] of Object.entries(tables)) {
      await execa(program, ['-t', table, '-F']);
      await execa(program, ['-t', table, '-X']);
      for (const chain of policies) await execa(program, ['-t', table, '-P', chain, 'ACCEPT']);
    }
}

/**
 * Types the commands that the doctor proposes against rules of iptables-legacy in a table, one for each kind of
 * packet, until nothing is wrong.
 */
export async function followDoctor(table: string): Promise<void> {
  const explain = async () => JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
  const typed = new Set<string>();
  for (let explained = await explain(); explained !== null; explained = await explain()) {
    assert.match(explained.fix.command, new RegExp(`^iptables-legacy -t ${table} -I `));
    assert(!typed.has(explained.fix.command), explained.fix.command);
    typed.add(explained.fix.command);
    await execa('sh', ['-c', explained.fix.command]);
  }
  assert(typed.size > 0);
}
