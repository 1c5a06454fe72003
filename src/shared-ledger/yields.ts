// Decides how a host gives up names and addresses that another host was first to write to etcd: both gave them while
// they were not connected. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { Ipv4 } from '../address/ip.ts';
import { type IndexKey, keyOfHostname, keyOfIp, keyOfName, type Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import type { ReservationProblem } from '../identity/problem.ts';
import { isWildcard } from '../names/alias.ts';
import { machineLabel } from '../names/label.ts';
import { type Change, withoutProblem } from './imports.ts';
import type { Mirror } from './mirror.ts';
import { holderOfClaim, type Member } from './pushes.ts';

/**
 * Returns the changes of this host's entries that lost something: they get other names, and a problem. Their addresses
 * stay, because their machines may run.
 */
export function planYields(
  member: Member,
  entries: readonly LedgerEntry[],
  ledger: Ledger,
  mirror: Mirror,
): Change[] {
  return entries
    .filter(({ network, host, retired }) => network === member.network && host === null && retired === null)
    .flatMap(entry => {
      const holder = (claim: IndexKey) => holderOfClaim(member, claim, entry.uuid, ledger, mirror);
      const after = yieldNames(entry, ledger, holder);
      return isDeepStrictEqual(entry, after) ? [] : [{ before: [entry], after: [after] }];
    });
}

function yieldNames(
  entry: LedgerEntry,
  ledger: Ledger,
  holder: (claim: IndexKey) => Ipv4 | null,
): LedgerEntry {
  const { network, name, nic, hostname, aliases } = entry;
  const isLost = (label: string) => holder(keyOfHostname(network, label)) !== null;
  const isTaken = (label: string) =>
    isLost(label) ||
    ledger.withHostname(network, label).some(other => other.retired === null && other !== entry);
  const rest = withoutProblem(entry, 'name-taken');
  return {
    ...rest,
    hostname: isLost(hostname) ? machineLabel(name, nic, isTaken) : hostname,
    aliases: aliases.filter(alias => isWildcard(alias) || !isLost(alias)),
    problem: rest.problem ?? problemOf(entry, ledger, holder),
  };
}

function problemOf(
  { network, name, uuid, ip }: LedgerEntry,
  ledger: Ledger,
  holder: (claim: IndexKey) => Ipv4 | null,
): ReservationProblem | null {
  if (ip !== null && holder(keyOfIp(ip)) !== null) {
    const [other] = ledger.withIp(network, ip).filter(each => each.uuid !== uuid);
    return { kind: 'address-taken', address: ip, holder: { kind: 'machine', machine: other?.name ?? '' } };
  }
  const host = holder(keyOfName(network, name));
  return host === null ? null : { kind: 'name-taken', host };
}
