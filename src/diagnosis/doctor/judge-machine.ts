// Findings about one machine and about each of its NICs.
import { type CheckId, type Finding, fail, ok, skipped, warn } from '../finding.ts';
import type { MachineFacts, NicFacts } from './facts.ts';
import { judgeForwards, judgeName } from './judge-reach.ts';

/** The stages in which a NIC gets its address; each depends on those before it. */
const stages = [
  'tap',
  'port',
  'packets',
  'discover',
  'reservation',
  'ack',
  'arp',
  'guard',
  'name',
] as const satisfies readonly CheckId[];

/** Judges whether a machine exists, runs, and has a NIC on a network of virlan's. */
export function judgeMachine(facts: MachineFacts): Finding[] {
  const { name: machine, state, nearest } = facts;
  switch (state) {
    case 'unknown':
      return [fail('machine', { kind: 'machine-unknown', machine, nearest })];
    case 'shut off':
      return [fail('machine', { kind: 'machine-shut-off', machine }), judgeNics(facts)];
    case 'running':
      return [ok('machine', { kind: 'machine-runs' }), judgeNics(facts), judgeForwards(facts)];
  }
}

function judgeNics({ name: machine, elsewhere: places, nics }: MachineFacts): Finding {
  if (nics.length > 0)
    return ok('nic', {
      kind: 'nics-found',
      nics: nics.map(({ mac, network, entry }) => ({ mac, network, was: entry?.replacedMac ?? null })),
    });
  return fail(
    'nic',
    places.length === 0 ? { kind: 'no-nic', machine } : { kind: 'nics-elsewhere', machine, places },
  );
}

/** Judges the stages of one NIC. */
export function judgeNic(machine: string, nic: NicFacts): Finding[] {
  const { tap } = nic;
  if (tap === null) return stages.map(check => skipped(check, { kind: 'not-running' }));
  return [
    judgeTap(machine, tap, nic),
    judgePort(tap, nic),
    judgePackets(machine, nic),
    judgeDiscover(machine, tap, nic),
    judgeReservation(machine, nic),
    judgeAck(machine, nic),
    judgeArp(machine, nic),
    judgeGuard(machine, tap, nic),
    judgeName(nic),
  ];
}

function judgeTap(machine: string, tap: string, { bridge, port, isKeptDown }: NicFacts): Finding {
  if (port === null) return fail('tap', { kind: 'tap-gone', tap, machine });
  if (port.master === null) return fail('tap', { kind: 'tap-unplugged', tap });
  if (port.master !== bridge)
    return fail('tap', { kind: 'tap-in-other-bridge', tap, bridge, found: port.master });
  if (!port.up)
    return fail('tap', isKeptDown ? { kind: 'tap-kept-down', tap, machine } : { kind: 'tap-down', tap });
  return ok('tap', { kind: 'tap-plugged-in', tap, bridge });
}

function judgePort(tap: string, { bridge, port, behind, mac }: NicFacts): Finding {
  if (port === null || port.state === null || port.master !== bridge)
    return skipped('port', { kind: 'port-outside-bridge', tap });
  if (port.state === 3)
    return behind === null
      ? ok('port', { kind: 'port-forwards' })
      : fail('port', { kind: 'mac-behind-other-port', tap, mac, behind });
  if (port.state === 1 || port.state === 2) return fail('port', { kind: 'port-waits-for-stp', tap });
  return fail('port', { kind: port.state === 4 ? 'port-blocked' : 'port-disabled', tap });
}

/** Judges what other programs do to its packets: a request that is dropped is missing below. */
function judgePackets(machine: string, { passage }: NicFacts): Finding {
  if (passage === null) return skipped('packets', { kind: 'no-address' });
  const { port, drops, takings } = passage;
  for (const packet of ['dhcp', 'dns', 'connecting', 'connected'] as const) {
    const drop = drops[packet] ?? null;
    if (drop !== null) return fail('packets', { kind: 'machine-dropped', machine, packet, drop, port });
  }
  for (const packet of ['dns', 'outgoing', 'returning'] as const) {
    const policy = takings[packet] ?? null;
    if (policy !== null) return fail('packets', { kind: 'machine-taken', machine, packet, policy, port });
  }
  return ok('packets', { kind: 'nothing-in-the-way' });
}

/** The form in which dnsmasq logs messages of clients (log_packet in its rfc2131.c). */
const clientMessage = /\bDHCP(DISCOVER|REQUEST|INFORM)\(/;

function judgeDiscover(machine: string, tap: string, nic: NicFacts): Finding {
  const { mac, port, lease, log, reserved, neighbour } = nic;
  if (lease === null && reserved !== null && neighbour?.mac === mac)
    return ok('discover', { kind: 'address-static', ip: reserved });
  if (lease !== null) return ok('discover', { kind: 'request-answered' });
  if (log?.some(line => clientMessage.test(line))) return ok('discover', { kind: 'request-heard' });
  if (port?.framesSent === 0) return fail('discover', { kind: 'nothing-sent', machine, tap });
  return fail('discover', { kind: log === null ? 'no-lease-given' : 'request-missing', mac, tap });
}

function judgeReservation(machine: string, { network, mac, entry, reserved }: NicFacts): Finding {
  if (entry?.problem != null)
    return fail('reservation', { kind: 'reservation-problem', problem: entry.problem });
  if (entry === null || entry.ip === null)
    return fail('reservation', { kind: 'not-reserved', machine, mac, network });
  if (reserved === null) return fail('reservation', { kind: 'not-in-hostsfile', mac, ip: entry.ip });
  return ok('reservation', { kind: 'reserved', ip: reserved });
}

function judgeAck(machine: string, { mac, lease, reserved, log }: NicFacts): Finding {
  if (lease === null) {
    const logged = log?.find(line => line.includes('DHCPNAK') || line.includes('no address'));
    return logged === undefined
      ? skipped('ack', { kind: 'not-leased' })
      : fail('ack', { kind: 'lease-refused', logged });
  }
  const { ip: leased } = lease;
  return reserved !== null && leased !== reserved
    ? fail('ack', { kind: 'leased-before-reserved', machine, mac, leased, reserved })
    : ok('ack', { kind: 'leased', ip: leased });
}

function judgeArp(machine: string, { mac, lease, reserved, neighbour, misleading }: NicFacts): Finding {
  if (misleading !== null) return fail('arp', { kind: 'neighbour-static', ...misleading });
  const ip = lease?.ip ?? reserved;
  if (ip === null || neighbour === null) return skipped('arp', { kind: 'no-address' });
  if (neighbour.mac === null)
    return fail('arp', { kind: lease === null ? 'address-unused' : 'leased-but-silent', machine, ip });
  return neighbour.mac === mac
    ? ok('arp', { kind: 'answers-arp', ip })
    : fail('arp', { kind: 'address-duplicate', ip, mac, answeredBy: neighbour.mac });
}

/** Frames that are dropped are a failure to those who wait for them, and right to all others. */
function judgeGuard(machine: string, tap: string, { network, dropped }: NicFacts): Finding {
  if (dropped === null) return skipped('guard', { kind: 'guard-not-there', network });
  return dropped.length === 0
    ? ok('guard', { kind: 'nothing-dropped' })
    : warn('guard', { kind: 'frames-dropped', machine, tap, dropped });
}
