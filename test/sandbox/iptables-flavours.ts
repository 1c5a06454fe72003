// The two flavours of iptables on the private host: on nf_tables, and on the tables of earlier kernels.
import { execa } from 'execa';

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
