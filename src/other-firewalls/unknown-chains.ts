import {
  type Chain,
  dropsByPolicy,
  type ForeignFirewalls,
  isDockerUser,
  isFirewalld,
  isIptablesBuiltin,
  proposedMarkOf,
} from './model.ts';

/**
 * Chains of nobody known that drop what none of their rules accepts, where an accept of virlan's own cannot help. With
 * the backend iptables virlan's rules stand in iptables' own chains, before their policy.
 */
export function strangeChains(
  backend: 'nftables' | 'iptables',
  found: Pick<ForeignFirewalls, 'chains' | 'docker' | 'ufw'>,
): Chain[] {
  const hasUfw = found.ufw?.enabled === true;
  const hasDocker = found.docker || found.chains.some(isDockerUser);
  const isKnown = (chain: Chain) =>
    isFirewalld(chain) ||
    (isIptablesBuiltin(chain) &&
      (backend === 'iptables' || hasUfw || (hasDocker && chain.hook === 'forward')));
  return found.chains.filter(chain => dropsByPolicy(chain) && !isKnown(chain));
}

/** What to tell of a chain that machines' packets will meet, with the command that lets them pass. */
export function reportStranger(bridge: string, chain: Chain): string {
  const { family, table, name, hook } = chain;
  const what = hook === 'forward' ? 'what machines send on' : 'what machines send to this host';
  const place = `chain ${name} of table ${family} ${table}`;
  return `${place} drops ${what} unless a rule of its own accepts it: ${remedy(bridge, chain)}`;
}

export function isSameChain(a: Chain, b: Chain): boolean {
  return a.family === b.family && a.table === b.table && a.name === b.name;
}

function remedy(bridge: string, chain: Chain): string {
  const { family, table, name, hook } = chain;
  const mark = proposedMarkOf(bridge);
  // A name with more in it than nft's own identifiers could say something else to a shell.
  if (![table, name].every(word => /^[A-Za-z0-9_.-]+$/.test(word)))
    return `let what comes by ${bridge} pass there`;
  if (isIptablesBuiltin(chain)) {
    const insert = (match: string) => `iptables -I ${name} ${match} -m comment --comment ${mark} -j ACCEPT`;
    const answers = insert(`-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED`);
    return hook === 'forward' ? `${answers} && ${insert(`-i ${bridge}`)}` : insert(`-i ${bridge}`);
  }
  const link = family === 'bridge' ? { from: 'ibrname', to: 'obrname' } : { from: 'iifname', to: 'oifname' };
  const insert = (match: string) =>
    `insert rule ${family} ${table} ${name} ${match} accept comment "${mark}"`;
  const comes = insert(`${link.from} "${bridge}"`);
  const answers = insert(`${link.to} "${bridge}" ct state established,related`);
  return `nft '${hook === 'forward' && family !== 'bridge' ? `${answers}; ${comes}` : comes}'`;
}
