// Decides how a host that died for good is removed from a shared ledger. Pure.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { VirlanError } from '../errors.ts';
import { keyOf } from './keys.ts';
import type { Mirror } from './mirror.ts';
import type { MachineWrite } from './pushes.ts';
import { asRemoval, blocksOf, keysOfMachine, machinesOf, ownKeys, removals } from './register.ts';
import type { Compare, Transaction } from './transaction.ts';

/** Decides whether the machines of the host keep their reservations or are forgotten. */
export type MachinesFate = 'keep' | 'drop';

/**
 * Checks that a host can be removed from networks. `own`: this host. Throws VirlanError: 'wrong-state' if it must not
 * be, 'unknown-host' if it has nothing there.
 */
export function checkExpulsion(
  host: Ipv4,
  own: Ipv4,
  machines: MachinesFate,
  mirrors: readonly Mirror[],
): void {
  const text = formatIp(host);
  if (host === own)
    throw new VirlanError(
      'wrong-state',
      `${text} is this host: to let it leave, remove etcd from [cluster] while the watcher runs`,
    );
  if (mirrors.some(({ alive }) => alive.has(host)))
    throw new VirlanError(
      'wrong-state',
      `${text} is there: its watcher runs, or did half a minute ago: stop it and try again`,
    );
  if (!mirrors.some(mirror => hasPart(host, mirror)))
    throw new VirlanError('unknown-host', `no host ${text} has joined: see "virlan status"`);
  const deaf = mirrors.flatMap(({ hosts, alive }) =>
    [...hosts.keys()].filter(each => each !== host && !alive.has(each)),
  );
  // It may start one of these machines, with an address that is another's by then.
  if (machines === 'drop' && deaf[0] !== undefined)
    throw new VirlanError(
      'wrong-state',
      `the machines of ${text} cannot be forgotten while ${formatIp(deaf[0])} does not hear of it: start its watcher, or expel that host first`,
    );
}

function hasPart(host: Ipv4, mirror: Mirror): boolean {
  return mirror.hosts.has(host) || blocksOf(host, mirror).length + machinesOf(host, mirror).length > 0;
}

/** Returns the transactions that remove a host, without its machines. They hold only while it is not there. */
export function planExpulsion(host: Ipv4, mirror: Mirror): Transaction[] {
  return removals(ownKeys(host, mirror), [isGone(host)]);
}

/** Returns the transactions that remove the machines of a host, except for those that others take over meanwhile. */
export function planMachineRemovals(host: Ipv4, mirror: Mirror): MachineWrite[] {
  return machinesOf(host, mirror).map(uuid => ({
    uuid,
    transaction: {
      compares: [
        isGone(host),
        { key: keyOf.machine(uuid), revision: mirror.machines.get(uuid)?.revision ?? null },
      ],
      operations: keysOfMachine(uuid, mirror).map(asRemoval),
    },
  }));
}

function isGone(host: Ipv4): Compare {
  return { key: keyOf.alive(host), revision: null };
}
