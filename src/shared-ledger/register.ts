// Decides the transactions by which a host joins a network in etcd, and leaves it. Pure.
import { formatIp } from '../address/ip.ts';
import { digest } from '../names/digest.ts';
import { EtcdError } from './etcd-error.ts';
import { hostValue, keyOf } from './keys.ts';
import type { Mirror } from './mirror.ts';
import { type Member, maxOperations } from './pushes.ts';
import type { Operation, Transaction } from './transaction.ts';

/** Returns the mark that tells a host from another one with its address. */
export function hostMark(machineId: string): string {
  return digest(`virlan:host:${machineId}`).toString('hex', 0, 8);
}

/**
 * Returns the transaction by which a host says that it is there, for as long as its lease lasts. `machine` is the host's
 * own. Throws EtcdError if another one that is alive has its address.
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
  const machines = [...mirror.machines].filter(([, { value }]) => value?.host === host);
  const blocks = [...mirror.blocks].filter(([, { value }]) => value === host);
  const keys = [
    keyOf.alive(host),
    ...machines.flatMap(([uuid]) => [keyOf.machine(uuid), ...[...mirror.claimsOf(uuid)].map(keyOf.claim)]),
    ...blocks.map(([first]) => keyOf.block(first)),
    // Last, so that a host that is interrupted here is still a member.
    keyOf.host(host),
  ];
  const operations = keys.map((key): Operation => ({ key, value: null }));
  return Array.from({ length: Math.ceil(keys.length / maxOperations) }, (_, index) => ({
    compares: [],
    operations: operations.slice(index * maxOperations, (index + 1) * maxOperations),
  }));
}
