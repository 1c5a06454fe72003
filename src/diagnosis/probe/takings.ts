// Finds the policies of IPsec that take packets of a probe.
import {
  findTakingPolicy,
  type IpsecDirection,
  type IpsecPolicy,
  parseIpsecPolicies,
  type TakingPolicy,
} from '../../network/routes/ipsec-policies.ts';
import type { System } from '../../system/system.ts';
import { type HookPassage, type Losses, lossesOn, type ProbedPath } from './ways.ts';

/** The policy that takes each kind of packet. */
export type Takings = Losses<TakingPolicy>;

/** The directions in which policies are asked about a packet at a hook. */
function directionsOf({ hook, packet }: HookPassage): readonly IpsecDirection[] {
  switch (hook) {
    case 'INPUT':
      return ['in'];
    case 'FORWARD':
      // The kernel asks `fwd` about an answer with the address of the host, to which the masqueraded packet was sent.
      return packet.direction === 'reply' ? ['out'] : ['fwd', 'out'];
    case 'OUTPUT':
      return ['out'];
    case 'PREROUTING':
    case 'POSTROUTING':
      return [];
  }
}

/** Reads the policies, and finds those that take a probe's packets; none where they cannot be read. */
export async function readTakings(system: Pick<System, 'run'>, path: ProbedPath): Promise<Takings> {
  return findTakings(await system.run('ip', ['-oneline', 'xfrm', 'policy']).catch(() => ''), path);
}

/** Returns the same from the output of `ip -oneline xfrm policy`. */
export function findTakings(listing: string, path: ProbedPath): Takings {
  const policies = parseIpsecPolicies(listing);
  return lossesOn(path, passage => takenAt(passage, policies));
}

function takenAt(passage: HookPassage, policies: readonly IpsecPolicy[]): TakingPolicy | null {
  const { source, destination } = passage.packet;
  if (source === null || destination === null) return null;
  const ends = { source, destination };
  const [policy] = directionsOf(passage).flatMap(
    direction => findTakingPolicy(policies, direction, ends) ?? [],
  );
  return policy ?? null;
}
