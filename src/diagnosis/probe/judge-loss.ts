// Findings about a packet of a probe that is lost on this host: a rule drops it, or its mark leads it elsewhere.
import type { MarkedRoute } from '../../network/marked-route.ts';
import { firewalldTable } from '../../other-firewalls/model.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import type { Drop, Packet } from '../details.ts';
import { type Finding, fail } from '../finding.ts';
import type { ProbeFacts, Stage } from './facts.ts';

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
export function diverted(check: Stage, packet: Packet, route: MarkedRoute, { subnet }: ProbeFacts): Finding {
  return fail(check, { kind: 'routed-by-mark', packet, route, subnet });
}
