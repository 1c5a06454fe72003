// Proposes the command that excepts packets of machines from a policy of IPsec.
import type { TakingPolicy } from '../../network/routes/ipsec-policies.ts';
import type { Packet } from '../packet-drop.ts';

/**
 * Returns the command that excepts packets of machines, or of one, from a policy, until the VPN's program writes its
 * policies anew; null where no priority is left before that of the policy, and where machines may be meant to use the
 * tunnel.
 */
export function exceptionFrom(
  { from, to, direction, priority, effect }: TakingPolicy,
  machines: string,
  kind: Packet['kind'],
): string | null {
  const isFromMachines = kind === 'outgoing' || direction === 'in';
  if (priority === 0 || (kind === 'outgoing' && direction === 'out' && effect === 'encrypts')) return null;
  const ends = isFromMachines ? `src ${machines} dst ${to}` : `src ${from} dst ${machines}`;
  // Of policies between the same addresses, the kernel keeps one: it is replaced.
  return `ip xfrm policy update ${ends} dir ${direction} priority ${priority - 1} action allow`;
}
