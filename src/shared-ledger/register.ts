// Decides the transactions by which a host joins a network in etcd, and leaves it. Pure.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { digest } from '../names/digest.ts';
import { EtcdError } from './etcd-error.ts';
import { hostValue, keyOf } from './keys.ts';
import type { Mirror } from './mirror.ts';
import { type Member, maxOperations } from './pushes.ts';
import type { Compare, Operation, Transaction } from './transaction.ts';

/** Returns the mark that tells a host from another one with its address. */
export function hostMark(machineId: string): string {
  return digest(`virlan:host:${machineId}`).toString('hex', 0, 8);
}

/**
 * Returns the transaction by which a host says that it is there, for as long as its lease lasts. `machine` is the
 * host's own. Throws EtcdError if another one that is alive has its address.
 */
export function planRegistration(
  { host }: Member,
  machine: string,
  lease: string,
  mirror: Mirror,
): Transaction {
  const alive = mirror.alive.get(host);
  if (alive !== undefined && alive.value !== machine)
    throw new EtcdError(
      'failed',
      `another host is there with ${formatIp(host)}, the address of [cluster]: give one of them another`,
    );
  const known = mirror.hosts.get(host);
  const value = hostValue(machine);
  return {
    compares: [{ key: keyOf.alive(host), revision: alive?.revision ?? null }],
    operations: [
      { key: keyOf.alive(host), value, lease },
      ...(known?.value === machine ? [] : [{ key: keyOf.host(host), value }]),
    ],
  };
}

/** Returns the transactions that remove a host's keys. */
export function planLeave({ host }: Member, mirror: Mirror): Transaction[] {
  const machines = machinesOf(host, mirror).flatMap(uuid => keysOfMachine(uuid, mirror));
  return removals([keyOf.alive(host), ...machines, ...ownKeys(host, mirror)], []);
}

/** Returns the UUIDs of the machines of a host. */
export function machinesOf(host: Ipv4, mirror: Mirror): string[] {
  return [...mirror.machines].flatMap(([uuid, { value }]) => (value?.host === host ? [uuid] : []));
}

/** Returns the addresses with which the blocks of a host begin. */
export function blocksOf(host: Ipv4, mirror: Mirror): Ipv4[] {
  return [...mirror.blocks].flatMap(([first, { value }]) => (value === host ? [first] : []));
}

/** Returns the keys of a machine. */
export function keysOfMachine(uuid: string, mirror: Mirror): string[] {
  return [keyOf.machine(uuid), ...[...mirror.claimsOf(uuid)].map(keyOf.claim)];
}

/** Returns the keys of a host. Its own is last, so that one whose removal is interrupted is still a member. */
export function ownKeys(host: Ipv4, mirror: Mirror): string[] {
  return [...blocksOf(host, mirror).map(keyOf.block), keyOf.host(host)];
}

/** Returns transactions that remove keys, and hold under these conditions. */
export function removals(keys: readonly string[], compares: readonly Compare[]): Transaction[] {
  return Array.from({ length: Math.ceil(keys.length / maxOperations) }, (_, index) => ({
    compares,
    operations: keys.slice(index * maxOperations, (index + 1) * maxOperations).map(asRemoval),
  }));
}

/** Returns the operation that removes a key. */
export function asRemoval(key: string): Operation {
  return { key, value: null };
}
