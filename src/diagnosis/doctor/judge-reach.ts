// Findings about the ways to a machine: its forwards, and its name on the host.
import { formatIp } from '../../address/ip.ts';
import { formatForward } from '../../config/forward.ts';
import { ownChainOf } from '../../other-firewalls/own-chains.ts';
import { type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { MachineFacts, NicFacts } from './facts.ts';

/** Judges the forwards of a running machine: the first that is wrong. */
export function judgeForwards({ name: machine, forwards, nics }: MachineFacts): Finding {
  const { active, refused, unreachable, hasConntrack, isStrict, drops, takings } = forwards;
  const [problem] = refused;
  if (problem !== undefined) return fail('forwards', { kind: 'forward-inactive', machine, problem });
  if (active.length === 0) return ok('forwards', { kind: 'no-forwards' });
  if (isStrict) return fail('forwards', { kind: 'forwards-kept-out' });
  // Before what the host's own try shows: such a rule may drop its packets, too.
  const [drop] = drops;
  if (drop !== undefined) {
    const { base, chain } = drop;
    const isOwn = ownChainOf({ ...base, chain }) !== null;
    return fail('forwards', { kind: isOwn ? 'forward-dropped-by-virlan' : 'forward-dropped', drop });
  }
  for (const { forward: each, ip, answer } of active) {
    const forward = formatForward(each);
    if (answer === 'none' && !nics.some(hasAddress))
      return fail('forwards', { kind: 'forward-without-lease', forward, ip, machine });
    if (answer === 'refused' || answer === 'none')
      return warn('forwards', { kind: 'forward-unanswered', forward, ip, port: each.to, answer, machine });
  }
  const [taking] = takings;
  if (taking !== undefined) {
    // Where a rule translates, it is not known whether to the machine.
    const judge = taking.effect === 'untrack' ? fail : warn;
    return judge('forwards', { kind: 'forward-taken', taking });
  }
  const [absent] = unreachable;
  if (absent !== undefined) {
    const { forward, address } = absent;
    return warn('forwards', { kind: 'forward-address-absent', forward: formatForward(forward), address });
  }
  return judgeWay(forwards) ?? judgeFlows(active, hasConntrack);
}

function hasAddress({ lease, mac, neighbour }: NicFacts): boolean {
  return lease !== null || neighbour?.mac === mac;
}

/** Judges what clients of other hosts meet, who cannot be asked; null where nothing is known to be in the way. */
function judgeWay({
  chainsInTheWay: [meeting],
  strictLinks: [link],
  reversePathDrops: dropped,
}: MachineFacts['forwards']): Finding | null {
  if (meeting !== undefined) return warn('forwards', { kind: 'forwards-meet-chain', ...meeting });
  return link === undefined || dropped === 0
    ? null
    : warn('forwards', { kind: 'forwards-meet-reverse-path', link, dropped });
}

function judgeFlows(active: MachineFacts['forwards']['active'], hasConntrack: boolean): Finding {
  if (!hasConntrack && active.some(({ forward }) => forward.protocol === 'udp'))
    return warn('forwards', { kind: 'forwards-need-conntrack' });
  return ok('forwards', {
    kind: 'forwards-active',
    forwards: active.map(each => formatForward(each.forward)),
  });
}

/** Judges whether the host itself finds a machine by its name. */
export function judgeName({ network, reserved: ip, hostName }: NicFacts): Finding {
  if (hostName === null || ip === null) return skipped('name', { kind: 'name-not-asked' });
  const { name, by, found, hasNssModule } = hostName;
  if (found.includes(formatIp(ip))) return ok('name', { kind: 'name-found', name, ip, by });
  if (found.length > 0) return warn('name', { kind: 'name-elsewhere', name, ip, found });
  return by === 'off'
    ? ok('name', { kind: 'name-not-wanted' })
    : warn('name', { kind: 'name-unknown', name, network, by, hasNssModule });
}
