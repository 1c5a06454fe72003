// Decides what a host writes to etcd about its machines: one transaction for each. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { Ipv4 } from '../address/ip.ts';
import { isSameNic } from '../identity/context.ts';
import { type IndexKey, keyOfIp, type Ledger } from '../identity/ledger.ts';
import type { LedgerEntry, StoredEntry } from '../identity/ledger-format.ts';
import { isForgotten } from '../identity/retire.ts';
import { claimsOf, inShared, keyOf, machineValue, type SharedMachine } from './keys.ts';
import type { Mirror } from './mirror.ts';
import type { Compare, Operation, Transaction } from './transaction.ts';

/** A transaction about a machine. */
export interface MachineWrite {
  readonly uuid: string;
  readonly transaction: Transaction;
}

/** Most operations of a transaction: etcd takes 128 by default. */
export const maxOperations = 100;

/** A host that shares its ledger of a network. */
export interface Member {
  /** The network. */
  readonly network: string;
  /** The address of the host, by which the others know it. */
  readonly host: Ipv4;
}

/**
 * Returns the transactions that write the machines of this host. Each holds only if nobody else has written the machine
 * meanwhile: who takes a machine over first has it. A machine gets what nobody else claims, and does without the rest.
 * A machine of another host that `isStarting` is still written as that host's: a start that fails takes nothing over.
 */
export function planPushes(
  member: Member,
  entries: readonly LedgerEntry[],
  ledger: Ledger,
  mirror: Mirror,
  isStarting: (uuid: string) => boolean,
): MachineWrite[] {
  const own = entries.filter(({ host }) => host === null);
  return [...byMachine(member, own)].flatMap(([uuid, own]) => {
    const known = mirror.machines.get(uuid);
    const isOurs =
      known === undefined ||
      known.value?.host === member.host ||
      (known.revision === revisionOf(own) && !isStarting(uuid)) ||
      isGivenUp(known.value);
    // A value that cannot be read was written by a later virlan, or by somebody else.
    if (!isOurs || known?.value === null) return [];
    const transaction = planPush(member, uuid, own, ledger, mirror);
    return transaction === null ? [] : [{ uuid, transaction }];
  });
}

/** Returns the entries of each machine on the network. */
export function byMachine({ network }: Member, entries: readonly LedgerEntry[]): Map<string, LedgerEntry[]> {
  const machines = new Map<string, LedgerEntry[]>();
  for (const entry of entries) {
    if (entry.network !== network) continue;
    const others = machines.get(entry.uuid);
    if (others === undefined) machines.set(entry.uuid, [entry]);
    else others.push(entry);
  }
  return machines;
}

/** Returns the revision of etcd that the entries of a machine were last the same as; null for none. */
export function revisionOf(entries: readonly LedgerEntry[]): number | null {
  return entries.find(({ revision }) => revision !== null)?.revision ?? null;
}

/** Returns whether a machine was forgotten on its host: any host may write it anew. */
export function isGivenUp(machine: SharedMachine | null): boolean {
  return machine?.entries.every(({ entry }) => isForgotten(entry)) === true;
}

/** Returns the transaction that writes a machine; null if etcd has it as it is, or it is too large. */
function planPush(
  member: Member,
  uuid: string,
  own: readonly LedgerEntry[],
  ledger: Ledger,
  mirror: Mirror,
): Transaction | null {
  const known = mirror.machines.get(uuid);
  const held = mirror.claimsOf(uuid);
  const wanted = [...claimsOf(own)];
  const lost = new Set(wanted.filter(claim => holderOfClaim(member, claim, uuid, ledger, mirror) !== null));
  // It gets another name first: see yields.ts.
  if ([...lost].some(claim => claim.startsWith('hostname/'))) return null;
  const entries = own.map(entry => sharedForm(entry, lost));
  const kept = new Set(wanted.filter(claim => !lost.has(claim)));
  const added = [...kept].filter(claim => !held.has(claim));
  const removed = [...held].filter(claim => !kept.has(claim));
  const before = known?.value?.entries ?? [];
  const isSame = isDeepStrictEqual(
    before.map(({ entry }) => entry),
    entries,
  );
  if (known?.value?.host === member.host && isSame && added.length + removed.length === 0) return null;
  const stored = entries.map((entry): StoredEntry => {
    const earlier = before.find(each => isSameNic(each.entry, entry));
    return { entry, fields: earlier?.fields ?? {} };
  });
  const compares: Compare[] = [
    { key: keyOf.machine(uuid), revision: known?.revision ?? null },
    ...added.map(claim => ({
      key: keyOf.claim(claim),
      revision: mirror.claims.get(claim)?.revision ?? null,
    })),
  ];
  const operations: Operation[] = [
    { key: keyOf.machine(uuid), value: machineValue({ host: member.host, entries: stored }) },
    ...added.map(claim => ({ key: keyOf.claim(claim), value: uuid })),
    ...removed.map(claim => ({ key: keyOf.claim(claim), value: null })),
  ];
  // Its addresses are from this host's blocks all the same.
  return operations.length > maxOperations ? null : { compares, operations };
}

/** Others read only what a machine holds: nobody has an address twice. */
function sharedForm(entry: LedgerEntry, lost: ReadonlySet<IndexKey>): LedgerEntry {
  const isLost = entry.ip !== null && lost.has(keyOfIp(entry.ip));
  return { ...inShared(entry), ip: isLost ? null : entry.ip };
}

/** Returns the host of another machine that has a claim, and has it still; null if nobody has. */
export function holderOfClaim(
  member: Member,
  claim: IndexKey,
  uuid: string,
  ledger: Ledger,
  mirror: Mirror,
): Ipv4 | null {
  const holder = mirror.claims.get(claim);
  if (holder === undefined || holder.value === uuid) return null;
  // A claim that cannot be read counts as held, so that nobody takes it.
  if (holder.value === null) return nowhere;
  const machine = mirror.machines.get(holder.value);
  if (machine === undefined) return null;
  if (machine.value === null) return nowhere;
  // This host knows earlier than etcd which claims its own machines have given up.
  const local = ledger.ofMachine(member.network, holder.value).filter(({ host }) => host === null);
  const isOurs = machine.value.host === member.host && local.length > 0;
  const has = isOurs ? local : machine.value.entries.map(({ entry }) => entry);
  return claimsOf(has).has(claim) ? machine.value.host : null;
}

/** No host has this address. */
const nowhere = 0 as Ipv4;

/** Entries of machines that were undefined are dropped after this time. */
const maxRetiredMs = 365 * 86_400_000;

/**
 * Returns the machines of this host to drop, first in etcd and then here: those without an address, those that were
 * undefined a year ago or forgotten, and `surplus` more of those that were undefined longest ago. While a host does not
 * hear of that, it may start such a machine with its address: nobody gets that meanwhile, unless addresses are short.
 */
export function planDrops(
  member: Member,
  entries: readonly LedgerEntry[],
  mirror: Mirror,
  surplus: number,
  now: Date,
): MachineWrite[] {
  const retired = [...byMachine(member, entries)]
    .flatMap(([uuid, own]) => {
      const { revision, value } = mirror.machines.get(uuid) ?? { revision: null, value: null };
      const isOurs = own.every(({ host, retired }) => host === null && retired !== null);
      const isSettled = value?.host === member.host && revision === revisionOf(own);
      if (!isOurs || !isSettled) return [];
      const since = Math.max(...own.map(entry => entry.retired?.getTime() ?? 0));
      return { uuid, revision, since, isEmpty: own.every(({ ip }) => ip === null) };
    })
    .sort((a, b) => a.since - b.since);
  const allHear = [...mirror.hosts.keys()].every(host => mirror.alive.has(host));
  const isOver = (since: number) => allHear && now.getTime() - since > maxRetiredMs;
  return retired
    .filter(({ since, isEmpty }, index) => index < surplus || isEmpty || isOver(since))
    .map(({ uuid, revision }) => ({
      uuid,
      transaction: {
        compares: [{ key: keyOf.machine(uuid), revision }],
        operations: [
          { key: keyOf.machine(uuid), value: null },
          ...[...mirror.claimsOf(uuid)].map(claim => ({ key: keyOf.claim(claim), value: null })),
        ],
      },
    }));
}
