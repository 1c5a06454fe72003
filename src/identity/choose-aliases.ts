// Chooses the aliases of a machine. An alias is a claim: who has it in the ledger keeps it.
import { isWildcard, parseAlias } from '../names/alias.ts';
import type { AliasRefusal, RefusedAlias } from './alias-refusal.ts';
import { holderOf, othersThan, type ReserveContext } from './context.ts';
import type { Ledger } from './ledger.ts';
import type { Nic } from './nic.ts';

/** Most aliases of one machine. */
const maxAliases = 64;

export interface ChosenAliases {
  /** In the form of names/alias.ts, in the order of the wishes. */
  readonly aliases: readonly string[];
  readonly refused: readonly RefusedAlias[];
}

/** Returns those aliases that a NIC gets, and why it does not get the others. Only the first NIC has aliases. */
export function chooseAliases(
  ledger: Ledger,
  nic: Nic,
  hostname: string,
  context: ReserveContext,
): ChosenAliases {
  const { network } = context;
  const aliases = new Set<string>();
  const refused = new Map<string, AliasRefusal>();
  const configured = network.machines.find(({ name }) => name === nic.key.machine)?.aliases ?? [];
  const wanted = nic.isFirst ? [...configured, ...nic.wishes.aliases] : [];
  for (const text of new Set(wanted)) {
    const parsed = parseAlias(text, network.domain);
    const refusal = parsed.ok ? refusalOf(ledger, nic, parsed.alias, context) : { reason: parsed.fault };
    if (parsed.ok && (parsed.alias === hostname || aliases.has(parsed.alias))) continue;
    if (refusal !== null) refused.set(text, refusal);
    else if (aliases.size === maxAliases) refused.set(text, { reason: 'too-many' });
    else if (parsed.ok) aliases.add(parsed.alias);
  }
  return { aliases: [...aliases], refused: [...refused].map(([alias, refusal]) => ({ alias, ...refusal })) };
}

/** Returns why the alias belongs to somebody else. Wildcards are below the machine's own name. */
function refusalOf(
  ledger: Ledger,
  { mac, found, uuid }: Nic,
  alias: string,
  { network, byHand, hostName }: ReserveContext,
): AliasRefusal | null {
  if (isWildcard(alias)) return null;
  if (alias === hostName) return { reason: 'host-name' };
  const isFixed =
    network.hosts.some(host => host.name === alias && host.mac !== mac) ||
    byHand.some(line => line.hostname === alias && !line.macs.includes(mac));
  if (isFixed) return { reason: 'fixed' };
  const [other] = othersThan(found, ledger.withHostname(network.name, alias)).filter(
    entry => entry.retired === null,
  );
  return other === undefined ? null : { reason: 'taken', holder: holderOf(other, uuid) };
}
