// The events that follow from what happened to libvirt's networks. Pure.
import type { NetworkDecision } from '../libvirt-networks/decide.ts';
import type { LibvirtNetworkEvent } from './event.ts';

/** Returns an event for each change, and for each network that stays as it is because it is in use. */
export function libvirtEvents({ actions, problems }: NetworkDecision): LibvirtNetworkEvent[] {
  return [
    ...actions.map(action => ({ kind: 'libvirt-network-changed', action }) as const),
    ...problems.flatMap(problem =>
      problem.kind === 'network-in-use' ? [{ kind: 'libvirt-network-in-use', problem } as const] : [],
    ),
  ];
}
