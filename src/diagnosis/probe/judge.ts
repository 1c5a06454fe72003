import type { Uplink } from '../../network/uplink.ts';
import { type Finding, failed, mendable, ok, skipped, unclear, warning } from '../finding.ts';
import type { Counters, Drop } from './counters.ts';
import type { Exchange } from './protocol.ts';

/** All that a probe found. */
export interface ProbeFacts {
  readonly bridge: string;
  readonly gateway: string;
  /** The address that was reserved for it. */
  readonly ip: string;
  /** Whether dnsmasq ran to hear of the reservation. */
  readonly told: boolean;
  /** How long the bridge kept the probe's port from forwarding, in milliseconds; null when it did to the end. */
  readonly waited: number | null;
  readonly exchange: Exchange | null;
  readonly uplink: Uplink;
  /** Null where there is no nft to count with. */
  readonly counters: Counters | null;
  /** Whether the host itself gets an answer from where its packets go next; null when it was not asked. */
  readonly hostAnswered: boolean | null;
  /** What dropped a packet of which stage, when that was looked at. */
  readonly drops: Readonly<Partial<Record<'lease' | 'dns' | 'out' | 'back', Drop | null>>>;
}

/** The stages of a machine's way, in its order, and what the probe met at each. */
export function judgeProbe(facts: ProbeFacts): Finding[] {
  const { bridge, waited, exchange } = facts;
  const port: Finding =
    waited === null
      ? unclear(
          'probe-port',
          `${bridge} keeps a new port from forwarding: it waits too long for STP`,
          `bridge -d link show; ip -d link show ${bridge}`,
        )
      : ok('probe-port', waited < 100 ? 'forwards at once' : `forwards after ${seconds(waited)} of STP`);
  if (waited === null || exchange === null) {
    const reason = 'the probe came no further';
    return [port, ...later.map(check => skipped(check, reason))];
  }
  const lease = judgeLease(facts, exchange);
  if (!('ip' in exchange.lease)) {
    const reason = 'the probe has no lease';
    return [port, lease, ...later.slice(1).map(check => skipped(check, reason))];
  }
  return [port, lease, judgeDns(facts, exchange), ...judgeWayOut(facts, exchange), judgeUpstream(exchange)];
}

/** Those of a probe that could not be sent out. */
export function unprobed(reason: string): Finding[] {
  return (['probe-port', ...later] as const).map(check => skipped(check, reason));
}

const later = [
  'probe-lease',
  'probe-dns',
  'probe-forward',
  'probe-masquerade',
  'probe-return',
  'upstream-dns',
] as const;

function judgeLease({ bridge, gateway, ip, told, drops }: ProbeFacts, { lease }: Exchange): Finding {
  if ('ip' in lease) {
    return lease.ip === ip
      ? ok('probe-lease', `${ip} leased as reserved`)
      : unclear(
          'probe-lease',
          `dnsmasq leased ${lease.ip} where ${ip} was reserved: another DHCP server answers on ${bridge}, or dnsmasq does not read its hostsfile`,
          `tcpdump -ni ${bridge} udp port 67`,
        );
  }
  if ('nak' in lease)
    return unclear(
      'probe-lease',
      `a DHCP server on ${bridge} refuses what was offered`,
      `tcpdump -ni ${bridge} udp port 67`,
    );
  if (drops.lease != null) return dropped('probe-lease', 'the DHCP request', drops.lease, bridge);
  return told
    ? unclear(
        'probe-lease',
        `nobody answers a DHCP ${lease.silentAfter} on ${bridge}, though dnsmasq runs there`,
        `tcpdump -ni ${bridge} udp port 67`,
      )
    : mendable('probe-lease', `nobody answers a DHCP ${lease.silentAfter}: no dnsmasq runs for ${gateway}`);
}

function judgeDns({ bridge, gateway, ip, drops }: ProbeFacts, { dns }: Exchange): Finding {
  if (dns === null) return skipped('probe-dns', 'the probe came no further');
  if ('addresses' in dns)
    return dns.addresses.includes(ip)
      ? ok('probe-dns', `${gateway} knows the probe by its name`)
      : mendable('probe-dns', `the DNS of ${gateway} does not know a name that has just got its lease`);
  if (drops.dns != null) return dropped('probe-dns', `a DNS question to ${gateway}`, drops.dns, bridge);
  return unclear(
    'probe-dns',
    `the DNS of ${gateway} does not answer a machine: ${dns.error}`,
    `ss -lunp sport = :53`,
  );
}

function judgeWayOut(facts: ProbeFacts, { answered }: Exchange): Finding[] {
  const { bridge, uplink, counters, hostAnswered, drops } = facts;
  if (uplink.kind === 'unreachable' || uplink.gateway === null) {
    const reason =
      uplink.kind === 'unreachable' ? 'this host has no way out' : `${uplink.dev} has no next hop to ask`;
    return later.slice(2, 5).map(check => skipped(check, reason));
  }
  const to = uplink.gateway;
  const outside = `a packet to ${to}`;
  if (counters === null) {
    const reason = 'no nft here to count packets with';
    const back = answered
      ? ok('probe-return', `${to} answers`)
      : warning('probe-return', `${to} does not answer a machine, and there is no nft to see why`);
    return [skipped('probe-forward', reason), skipped('probe-masquerade', reason), back];
  }
  const passed = counters.plain + counters.masqueraded;
  if (passed === 0) {
    const seen =
      counters.entered === 0
        ? `${outside} does not get from its port to the host: a rule of the bridge family, or of ebtables, is in its way`
        : `${outside} comes in by ${bridge} and does not leave by ${uplink.dev}`;
    const forward =
      drops.out != null
        ? dropped('probe-forward', outside, drops.out, bridge)
        : unclear('probe-forward', seen, 'nft list ruleset');
    return [forward, ...later.slice(3, 5).map(check => skipped(check, 'nothing gets out'))];
  }
  const forward = ok('probe-forward', `goes out by ${uplink.dev}`);
  if (counters.plain > 0)
    return [
      forward,
      unclear(
        'probe-masquerade',
        `packets leave by ${uplink.dev} with a machine's own address, to which nobody outside knows the way back: something keeps them from being masqueraded`,
        'nft list ruleset',
      ),
      skipped('probe-return', 'nothing to come back to'),
    ];
  const masquerade = ok('probe-masquerade', 'leaves with the address of the host');
  return [forward, masquerade, judgeReturn()];

  function judgeReturn(): Finding {
    if (answered) return ok('probe-return', `${to} answers`);
    if (drops.back != null) return dropped('probe-return', `the answer of ${to}`, drops.back, bridge);
    if (counters !== null && counters.returned > 0)
      return unclear(
        'probe-return',
        `${to} answers, and the answer is lost on this host`,
        'nft list ruleset',
      );
    if (hostAnswered)
      return unclear(
        'probe-return',
        `${to} answers this host, and not what comes from machines`,
        `tcpdump -ni ${uplink.kind === 'via' ? uplink.dev : 'any'} host ${to}`,
      );
    return ok('probe-return', `${to} answers neither a machine nor this host; packets leave as they should`);
  }
}

function judgeUpstream({ dns, upstream }: Exchange): Finding {
  if (upstream === null || (dns !== null && 'error' in dns))
    return skipped('upstream-dns', 'the DNS of the gateway does not answer');
  return upstream === 'answered'
    ? ok('upstream-dns', 'names of the outside resolve')
    : warning(
        'upstream-dns',
        `names of the outside do not resolve (${upstream}): the name servers that dnsmasq asks do not answer`,
        'cat /etc/resolv.conf',
      );
}

function dropped(check: Finding['check'], what: string, drop: Drop, bridge: string): Finding {
  const { family, table, chain, rule } = drop;
  const place = `${family} ${table} ${chain}`;
  const by = rule === null ? `the policy of ${place}` : `a rule of ${place}: ${rule.slice(0, 120)}`;
  return failed(check, `${what} is dropped by ${by}`, remedyFor(check, drop, bridge));
}

/** The least that lets this bridge through, in the place of whoever drops. Null for names that no command should hold. */
function remedyFor(
  check: Finding['check'],
  { family, table, chain, rule }: Drop,
  bridge: string,
): string | null {
  const isForward = check === 'probe-forward' || check === 'probe-return';
  const port = check === 'probe-lease' ? 67 : 53;
  const direction = check === 'probe-return' ? 'out' : 'in';
  if (![family, table, chain].every(name => /^[\w.-]+$/.test(name))) return null;
  if (/^ufw6?-/.test(chain))
    return isForward
      ? `ufw route allow ${direction} on ${bridge}`
      : `ufw allow in on ${bridge} to any port ${port}`;
  if (table === 'firewalld')
    return `firewall-cmd --permanent --zone=libvirt --add-interface=${bridge} && firewall-cmd --reload`;
  // A policy drops whatever is not let through, so all of the bridge's has to be: virlan's own rules sort it out.
  const matches = rule === null ? (isForward ? ['in', 'out'] : ['in']) : [direction];
  const only = rule === null || isForward ? null : port;
  const isIptables = family === 'ip' && ['filter', 'mangle', 'raw', 'security'].includes(table);
  const commands = matches.map(way =>
    isIptables
      ? `iptables -t ${table} -I ${chain} -${way[0]} ${bridge}${only === null ? '' : ` -p udp --dport ${only}`} -j ACCEPT`
      : `nft insert rule ${family} ${table} ${chain} ${way[0]}ifname ${bridge}${only === null ? '' : ` udp dport ${only}`} accept`,
  );
  return commands.join(' && ');
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
