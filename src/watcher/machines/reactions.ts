// Decides the watcher's reactions to an event of libvirt. Pure.
import type { Domain, LibvirtEvent } from 'node-libvirt';

export type Reaction =
  /** The machine's start has ended: what waited for it goes on. */
  | { readonly kind: 'end-start'; readonly domain: Domain }
  /** Assign the machine's MACs and reserve its addresses. */
  | { readonly kind: 'reconcile-machine'; readonly domain: Domain }
  /** Retire the machine's reservations if it is gone. */
  | { readonly kind: 'retire-machine'; readonly domain: Domain }
  /** Compare virlan's networks with the configuration: their names follow from libvirt's networks, too. */
  | { readonly kind: 'scan' }
  /**
   * Reserve for the machines that have no reservation: a network that they refer to may lead to virlan's bridge now, or
   * an address may have become free.
   */
  | { readonly kind: 'reserve-missing' }
  /** Compare libvirt's networks with the configuration. */
  | { readonly kind: 'arrange-networks' }
  /** Do so later: the network was stopped, maybe to be started again. */
  | { readonly kind: 'rest-network'; readonly name: string };

/** Returns the reactions to an event, in their order. */
export function reactionsTo(event: LibvirtEvent): Reaction[] {
  if (event.kind === 'network-lifecycle') {
    const { name } = event.network;
    const arrange =
      event.event === 'stopped'
        ? ({ kind: 'rest-network', name } as const)
        : ({ kind: 'arrange-networks' } as const);
    const isThere = event.event === 'defined' || event.event === 'started';
    return [{ kind: 'scan' }, ...(isThere ? [{ kind: 'reserve-missing' } as const] : []), arrange];
  }
  const { domain } = event;
  const reconcile = { kind: 'reconcile-machine', domain } as const;
  const compare = { kind: 'scan' } as const;
  if (event.kind !== 'domain-lifecycle') return [compare, reconcile];
  // Machines that refer to libvirt's network `default`, and run or not, decide whether it stays as a
  // pass-through: it is arranged again when they change.
  const arrange = { kind: 'arrange-networks' } as const;
  const retire = { kind: 'retire-machine', domain } as const;
  const endStart = { kind: 'end-start', domain } as const;
  switch (event.event) {
    case 'undefined':
      // A rename arrives as undefined(old name) and defined(new name) with one UUID: only the second matters.
      if (event.detail === 'renamed') return [];
      return event.detail === 'removed' ? [retire, { kind: 'reserve-missing' }, arrange] : [reconcile];
    case 'stopped':
      return [endStart, retire, reconcile, arrange];
    case 'defined':
      return [reconcile, arrange];
    case 'started':
      return [endStart, compare, reconcile];
    case 'suspended':
    case 'resumed':
    case 'shutdown':
    case 'pmsuspended':
    case 'crashed':
    case 'unknown':
      return [reconcile];
  }
}
