// Rules as `iptables-save` writes them: `-i k8s-br0 -p tcp -m multiport --dports 22,80 -j ACCEPT`.
import { type Family, formatPrefix } from '../address/ip.ts';
import type { Match, Ports, PrefixMatch, Rule, Verdict } from './rule.ts';

/**
 * multiport takes 15 ports, a range counting for two (XT_MULTI_PORTS in xt_multiport.h): longer lists are
 * split.
 */
const portsPerRule = 7;

const icmpEchoRequest: Readonly<Record<Family, string>> = {
  ipv4: '-p icmp -m icmp --icmp-type 8',
  ipv6: '-p ipv6-icmp -m icmp6 --icmpv6-type 128',
};

/** MLD (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861). */
const ipv6ControlTypes = [130, 131, 132, 133, 134, 135, 136, 143];

/**
 * Returns a rule as `iptables-save` writes it, without the chain; several lines where its ports or types need
 * it. `marks` are conditions that stand right before the verdict.
 */
export function renderRule(rule: Rule, marks: readonly string[], family: Family): string[] {
  // iptables cannot tell taps apart, and falls in where the kernel refuses to count for nftables.
  if (rule.surplus === true) return [];
  const tail = [...marks, `-j ${renderVerdict(family, rule.verdict)}`].join(' ');
  return renderMatch(rule, family).map(words => (words === '' ? tail : `${words} ${tail}`));
}

/** Returns conditions as `iptables-save` writes them; several where their ports or types need it. */
export function renderMatch(match: Match, family: Family): string[] {
  const { from, to, notTo, source, destination, protocol, ports, tracked, translated } = match;
  const address = (option: string, { kind, prefix }: PrefixMatch) =>
    `${kind === 'not-in' ? '! ' : ''}${option} ${formatPrefix(prefix)}`;
  const words: string[] = [];
  if (source !== undefined) words.push(address('-s', source));
  if (destination !== undefined) words.push(address('-d', destination));
  if (from !== undefined) words.push(`-i ${from}`);
  if (to !== undefined) words.push(`-o ${to}`);
  if (notTo !== undefined) words.push(`! -o ${notTo}`);
  if (protocol === 'icmp-echo-request') words.push(icmpEchoRequest[family]);
  else if (protocol === 'ipv6-control') words.push('-p ipv6-icmp');
  else if (protocol === 'tcp-syn') words.push('-p tcp -m tcp --tcp-flags SYN,RST SYN');
  else if (protocol !== undefined) words.push(`-p ${protocol}`);
  const states = [
    ...(tracked === undefined ? [] : [`-m conntrack --ctstate ${tracked.join(',').toUpperCase()}`]),
    ...(translated === true ? ['-m conntrack --ctstate DNAT'] : []),
  ];
  if (protocol === 'ipv6-control')
    return ipv6ControlTypes.map(type => [...words, `-m icmp6 --icmpv6-type ${type}`, ...states].join(' '));
  if (ports === undefined) return [[...words, ...states].join(' ')];
  return portLists(ports).map(list => [...words, `-m multiport --dports ${list}`, ...states].join(' '));
}

const portUnreachable: Readonly<Record<Family, string>> = {
  ipv4: 'icmp-port-unreachable',
  ipv6: 'icmp6-port-unreachable',
};

function renderVerdict(family: Family, verdict: Verdict): string {
  switch (verdict.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return verdict.kind.toUpperCase();
    case 'clamp-mss':
      return 'TCPMSS --clamp-mss-to-pmtu';
    case 'reject':
      return `REJECT --reject-with ${verdict.with === 'tcp-reset' ? verdict.with : portUnreachable[family]}`;
    case 'masquerade':
      return verdict.ports === null
        ? 'MASQUERADE'
        : `MASQUERADE --to-ports ${verdict.ports.first}-${verdict.ports.last}`;
  }
}

/** Returns ports as `22,6000:6010`, in lists short enough for multiport. */
export function portLists(ports: readonly Ports[]): string[] {
  const chunks = Array.from({ length: Math.ceil(ports.length / portsPerRule) }, (_, index) =>
    ports.slice(index * portsPerRule, (index + 1) * portsPerRule),
  );
  return chunks.map(chunk =>
    chunk.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join(','),
  );
}
