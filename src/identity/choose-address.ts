// Chooses the address of a NIC, with the reasons.
import { type Ipv4, prefixContains } from '../address/ip.ts';
import type { Mac } from '../address/mac.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type HandLine, isForMachines, lineOf } from '../dnsmasq/hostsfile.ts';
import { isCurrent } from '../dnsmasq/leases.ts';
import { exists, holderOf, othersThan, type ReserveContext } from './context.ts';
import { formulaAddress } from './formula.ts';
import type { Ledger } from './ledger.ts';
import type { LedgerEntry } from './ledger-format.ts';
import type { Nic } from './nic.ts';
import { isInPool, poolOf } from './pool.ts';
import type { ReservationProblem, SkipReason } from './problem.ts';
import { type AddressReason, maxSkipsListed, type SkippedAddress, type TrailStep } from './trail.ts';

export interface ChosenAddress {
  readonly address: Ipv4 | null;
  readonly problem: ReservationProblem | null;
  readonly why: TrailStep;
}

/**
 * Chooses, in this order: the address that a line written by hand or a `[host.…]` section has for the MAC,
 * the address in the metadata (for the first NIC), the address that the NIC has, a free one by the formula, and the
 * address of the entry retired longest ago.
 */
export function chooseAddress(ledger: Ledger, nic: Nic, context: ReserveContext): ChosenAddress {
  const fixed = fixedAddress(nic, context);
  if (fixed !== null) return fixed;
  const refused = wishProblem(ledger, nic, context);
  const problem = lineProblem(nic.mac, lineOf(nic.mac, context.byHand)) ?? refused;
  const wish = wishOf(nic, context);
  if (wish !== null && refused === null) return chosen(wish, 'metadata', problem);
  const { found, uuid } = nic;
  if (found !== null && found.ip !== null && isUsable(found.ip, context)) {
    const address = found.ip;
    const rivals = othersThan(found, ledger.withIp(context.network.name, address)).filter(each =>
      exists(each, context),
    );
    const [rival] = rivals;
    if (rival === undefined) return chosen(address, 'ledger', problem);
    // One of another host may have got it while the hosts did not hear from each other: the machine may run.
    if (context.moment === 'booting' && rivals.every(({ host }) => host !== null)) {
      const taken = { kind: 'address-taken', address, holder: holderOf(rival, uuid) } as const;
      return chosen(address, 'ledger', problem ?? taken);
    }
  }
  return newAddress(ledger, nic, context, problem);
}

function fixedAddress({ mac }: Nic, { network, byHand }: ReserveContext): ChosenAddress | null {
  const line = lineOf(mac, byHand);
  if (line?.effect === 'serves' && line.ip !== null) return chosen(line.ip, 'hostsfile', null);
  const host = network.hosts.find(each => each.mac === mac);
  return host === undefined ? null : chosen(host.ip, 'fixed-host', lineProblem(mac, line));
}

/**
 * Returns the problem of a NIC with this MAC and the line that decides about it. It keeps what it has without the line.
 */
function lineProblem(mac: Mac, line: HandLine | null): ReservationProblem | null {
  switch (line?.effect) {
    case undefined:
    case 'serves':
      return null;
    case 'ignores':
      return { kind: 'mac-ignored', mac };
    case 'any-address':
      return { kind: 'line-without-address', mac };
    case 'none':
      return line?.ip == null ? null : { kind: 'line-unusable', address: line.ip };
  }
}

/**
 * Returns the address in the metadata, which is for the machine's first NIC on the network that has it: a machine may
 * be on several networks.
 */
function wishOf({ isFirst, wishes }: Nic, { network }: ReserveContext): Ipv4 | null {
  const { ip, hasOtherNics } = wishes;
  if (!isFirst || ip === null) return null;
  return hasOtherNics && network.others.some(({ subnet }) => prefixContains(subnet, ip)) ? null : ip;
}

/**
 * Returns the reason why the address in the metadata cannot be given; null when it can, or the metadata has
 * none.
 */
function wishProblem(ledger: Ledger, nic: Nic, context: ReserveContext): ReservationProblem | null {
  const address = wishOf(nic, context);
  if (address === null) return null;
  if (!isUsable(address, context)) return { kind: 'address-unusable', address };
  const holder = othersThan(nic.found, ledger.withIp(context.network.name, address)).find(
    entry => entry.host !== null || exists(entry, context),
  );
  return holder === undefined || isExchanged(ledger, holder, nic, context)
    ? null
    : { kind: 'address-taken', address, holder: holderOf(holder, nic.uuid) };
}

/**
 * Returns whether all get what they ask for if a NIC takes the address of a holder: that one asks for another's
 * address, and so on, until one asks for the NIC's own, or a free one. None of them may run, because its system has its
 * address.
 */
function isExchanged(
  ledger: Ledger,
  holder: LedgerEntry,
  nic: Nic,
  context: ReserveContext,
  passed: readonly LedgerEntry[] = [],
): boolean {
  const { problem, host, uuid } = holder;
  const canGive = problem?.kind === 'address-taken' && host === null && !context.isRunning(uuid);
  if (!canGive || passed.includes(holder)) return false;
  if (problem.address === nic.found?.ip) return true;
  const held = ledger.withIp(context.network.name, problem.address);
  const next = held.find(each => exists(each, context));
  return next === undefined || isExchanged(ledger, next, nic, context, [...passed, holder]);
}

function isUsable(address: Ipv4, context: ReserveContext): boolean {
  return isForMachines(address, context.network) && !isFixed(address, context);
}

/** Returns whether a `[host.…]` section or a line written by hand has an address. */
function isFixed(address: Ipv4, { network, byHand }: ReserveContext): boolean {
  return [...network.hosts, ...byHand].some(({ ip }) => ip === address);
}

function newAddress(
  ledger: Ledger,
  { key, mac }: Nic,
  context: ReserveContext,
  wish: ReservationProblem | null,
): ChosenAddress {
  const { network } = context;
  const leased = leasedAddresses(ledger, mac, context);
  const skips = new Skips();
  const blocks = network.sharesLedger ? context.ownBlocks() : [network.range];
  const pool = poolOf(network);
  const skip = (address: Ipv4, left: number) => {
    const next = blocks.find(({ last }) => last >= address)?.first ?? network.range.last + 1;
    // Skips addresses that other hosts give in one step: there may be millions of them.
    const count = Math.max(1, Math.min(left, next - address - pool.excluded.length));
    return skips.add(address, next > address ? 'elsewhere' : reasonOf(address), count);
  };
  const reasonOf = (address: Ipv4): SkipReason | null => {
    if (ledger.hasIp(network.name, address)) return 'reserved';
    if (leased(address)) return 'leased';
    if (context.answered.has(address)) return 'answered';
    return isFixed(address, context) ? 'fixed' : null;
  };
  const free = formulaAddress(key, pool, skip);
  if (free !== null) return chosen(free, skips.count === 0 ? 'formula' : 'next-free', wish, skips);
  // In a cluster another host may have taken the entry over: the watcher asks etcd first.
  const reused = network.sharesLedger
    ? null
    : longestRetired(
        ledger,
        network,
        address =>
          isInPool(pool, address) &&
          !isFixed(address, context) &&
          !leased(address) &&
          !context.answered.has(address),
      );
  return reused === null
    ? chosen(null, 'none', { kind: 'pool-exhausted', held: skips.byReason }, skips)
    : chosen(reused, 'retired-reused', wish, skips);
}

/**
 * Returns whether an address is leased to another machine or device that has a reservation. The lease of
 * anybody else keeps no machine from its address: a guest can take a lease of every address that there is.
 */
export function leasedAddresses(
  ledger: Ledger,
  mac: Mac,
  context: Pick<ReserveContext, 'network' | 'byHand' | 'leases' | 'now'>,
): (address: Ipv4) => boolean {
  const { network, byHand, now } = context;
  const isReserved = (other: Mac) =>
    ledger.withMacOn(network.name, other).some(entry => entry.retired === null) ||
    network.hosts.some(host => host.mac === other) ||
    byHand.some(line => line.macs.includes(other));
  const leases = context.leases().filter(lease => lease.mac !== mac && isCurrent(lease, now));
  const macsAt = new Map<Ipv4, readonly Mac[]>();
  for (const lease of leases) macsAt.set(lease.ip, [...(macsAt.get(lease.ip) ?? []), lease.mac]);
  return address => macsAt.get(address)?.some(isReserved) ?? false;
}

/** Collects the addresses that are skipped. */
class Skips {
  readonly listed: SkippedAddress[] = [];
  readonly byReason: Record<SkipReason, number> = {
    reserved: 0,
    leased: 0,
    answered: 0,
    fixed: 0,
    elsewhere: 0,
  };
  count = 0;

  /** Adds addresses from one on if there is a reason to skip them. Returns how many are skipped. */
  add(address: Ipv4, reason: SkipReason | null, count: number): number {
    if (reason === null) return 0;
    this.count += count;
    this.byReason[reason] += count;
    if (this.listed.length < maxSkipsListed) this.listed.push({ address, reason });
    return count;
  }
}

function chosen(
  address: Ipv4 | null,
  reason: AddressReason,
  problem: ReservationProblem | null,
  skips: Pick<Skips, 'listed' | 'count'> = { listed: [], count: 0 },
): ChosenAddress {
  return {
    address,
    problem,
    why: { kind: 'address', address, reason, skipped: skips.listed, skippedCount: skips.count },
  };
}

/**
 * Returns the address of the entry that was retired longest ago and that no entry of an existing machine has.
 */
function longestRetired(
  ledger: Ledger,
  network: NetworkConfig,
  isCandidate: (address: Ipv4) => boolean,
): Ipv4 | null {
  for (const { network: on, ip } of ledger.retired()) {
    const isFree = () => ip !== null && ledger.withIp(on, ip).every(entry => entry.retired !== null);
    if (on === network.name && ip !== null && isCandidate(ip) && isFree()) return ip;
  }
  return null;
}
