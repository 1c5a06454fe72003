// Findings about a packet of a probe that is lost on this host: a rule drops it, its mark leads it elsewhere,
// or a policy of IPsec takes it.
import type { TakingPolicy } from '../../network/routes/ipsec-policies.ts';
import type { MarkedRoute } from '../../network/routes/marked-route.ts';
import { firewalldTable } from '../../other-firewalls/model.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import { type Finding, fail } from '../finding.ts';
import type { Drop, Packet, ProbePacket } from '../packet-drop.ts';
import type { ProbeFacts, Stage } from './facts.ts';

/** Returns the failure of a stage whose packet is lost; null where the reason was not seen. */
export function lost(check: Stage, packet: ProbePacket, facts: ProbeFacts): Finding | null {
  const { drops, diversions, takings } = facts;
  const drop = drops[packet.kind];
  if (drop != null) return dropped(check, packet, drop, facts);
  const route = packet.kind === 'dhcp' ? null : diversions[packet.kind];
  // Of the packets of DNS, a mark or a policy for what the host sends takes the answer.
  const answer: ProbePacket = packet.kind === 'dns' ? { kind: 'returning', from: packet.gateway } : packet;
  if (route != null) return diverted(check, answer, route, facts);
  const taking = hasCome(packet, facts) ? takings[packet.kind] : null;
  if (taking == null) return null;
  return taken(check, taking.direction === 'out' ? answer : packet, taking, facts);
}

/** Policies are known, and not what they took: an answer that did not come was not taken. */
function hasCome({ kind }: ProbePacket, { counters }: ProbeFacts): boolean {
  return kind !== 'returning' || counters === null || counters.arrived > 0;
}

/** Returns the failure of a stage whose packet is dropped. */
export function dropped(
  check: Stage,
  packet: Packet,
  drop: Drop,
  { bridge, zoneSource }: ProbeFacts,
): Finding {
  const own = ownChainOf(drop);
  if (own !== null) return fail(check, { kind: 'dropped-by-virlan', packet, drop, own });
  // A request for a lease has no address of the machine yet.
  const isByZone = zoneSource !== null && drop.table === firewalldTable && packet.kind !== 'dhcp';
  return fail(
    check,
    isByZone
      ? { kind: 'dropped-by-zone', packet, drop, by: zoneSource }
      : { kind: 'packet-dropped', packet, drop, bridge },
  );
}

/** Returns the failure of a stage whose packet leaves by another route because of its mark. */
function diverted(check: Stage, packet: ProbePacket, route: MarkedRoute, { subnet }: ProbeFacts): Finding {
  return fail(check, { kind: 'routed-by-mark', packet, route, subnet });
}

/** Returns the failure of a stage whose packet a policy takes. */
function taken(check: Stage, packet: ProbePacket, policy: TakingPolicy, { subnet }: ProbeFacts): Finding {
  return fail(check, { kind: 'taken-by-ipsec', packet, policy, subnet });
}
