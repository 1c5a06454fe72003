import { formatPrefix, type Prefix } from '../address/ip.ts';
import { portLists } from '../firewall/iptables.ts';
import type { Rule, Ruleset } from '../firewall/model.ts';
import { lostJump, markedRules } from './marked-rules.ts';
import { dropsByPolicy, type ForeignFirewalls, isIptablesBuiltin, isUfwPlace, markOf } from './model.ts';

/** Stands for what makes ufw's rules those of the kernel again. */
export const reload = 'reload';

type Ports = NonNullable<Rule['ports']>[number];

const anywhere = '0.0.0.0/0';

/**
 * What ufw needs, as the tuples of its file user.rules. It accepts answers and pings by itself (before.rules), and drops
 * or rejects what no rule of its own accepts. Where the kernel has lost ufw's rules and goes on to drop, ufw has to load
 * them again, which does not bring back the jumps to them (ufw_start in ufw-init-functions). One that is switched off
 * keeps what it has: a restart looks the same.
 */
export function wantedInUfw(ruleset: Ruleset, found: ForeignFirewalls): string[] {
  if (found.ufw === null) return [];
  const { bridge } = ruleset;
  const { enabled } = found.ufw;
  const isThere = (line: string) => foundInUfw(bridge, found).includes(line);
  const drops = found.chains.some(chain => isIptablesBuiltin(chain) && dropsByPolicy(chain));
  const jumps = (['FORWARD', 'INPUT'] as const).flatMap(chain => {
    const place = `ufw-before-${chain.toLowerCase()}`;
    const hasPlace = found.chains.some(each => isUfwPlace(each) && each.name === place);
    return hasPlace ? lostJump(bridge, found.iptables, chain, place) : [];
  });
  const tuples = [...ruleset.forward.flatMap(routeTuple), ...inputTuples(ruleset)];
  return [
    ...jumps.filter(line => isThere(line) || (enabled && drops)),
    ...tuples.filter(line => isThere(line) || enabled),
    ...(enabled && drops && !isInForce(bridge, found) ? [reload] : []),
  ];
}

export function foundInUfw(bridge: string, found: ForeignFirewalls): string[] {
  return [
    ...markedRules(bridge, found.iptables, /^-A (FORWARD|INPUT) .* -j ufw-before-(forward|input)$/),
    ...foundTuples(bridge, found.ufw?.rules ?? ''),
  ];
}

function foundTuples(bridge: string, rules: string): string[] {
  const tuple = new RegExp(`^### tuple ### (.*)${commentOf(bridge)}$`);
  return rules.split('\n').flatMap(line => tuple.exec(line)?.[1] ?? []);
}

/** As ufw writes a comment behind a tuple. */
function commentOf(bridge: string): string {
  return ` comment=${Buffer.from(markOf(bridge)).toString('hex')}`;
}

/** Arguments of ufw(8) that make a tuple, or with `delete` before them take it away. */
export function ufwArguments(tuple: string): string[] {
  const [action = '', protocol = '', ports = '', destination = '', , source = '', links = ''] =
    tuple.split(' ');
  const [from = '', to] = links.split('!').map(link => link.replace(/^(in|out)_/, ''));
  // Without an address a rule is for both IPv4 and IPv6: a bridge hands the firewall frames of both.
  const isBetweenMachines = to !== undefined && source === anywhere;
  return [
    ...(action.startsWith('route:') ? ['route'] : []),
    ...['allow', 'in', 'on', from],
    ...(to === undefined ? [] : ['out', 'on', to]),
    ...(protocol === 'any' ? [] : ['proto', protocol]),
    ...(isBetweenMachines ? [] : ['from', source, 'to', destination]),
    ...(ports === 'any' ? [] : ['port', ports]),
  ];
}

/** The text of user.rules, or user6.rules, without the rules of these tuples. */
export function withoutTuples(bridge: string, rules: string): string {
  const comment = commentOf(bridge);
  const blocks = rules.split(/^(?=### )/m);
  return blocks
    .filter(block => !(block.startsWith('### tuple ### ') && block.split('\n')[0]?.endsWith(comment)))
    .join('');
}

function routeTuple({ from, to, source, tracked, verdict }: Rule): string[] {
  if (verdict !== 'accept' || from === undefined || tracked !== undefined) return [];
  const links = to === undefined ? `in_${from}` : `in_${from}!out_${to}`;
  return [formatTuple('route:allow', 'any', 'any', source, links)];
}

function inputTuples({ bridge, input }: Ruleset): string[] {
  const accepts = input.rules.filter(
    ({ from, verdict, protocol }) =>
      from === bridge && verdict === 'accept' && protocol !== 'icmp-echo-request',
  );
  const link = `in_${bridge}`;
  if (accepts.some(({ protocol }) => protocol === undefined))
    return [formatTuple('allow', 'any', 'any', undefined, link)];
  return (['udp', 'tcp'] as const).flatMap(protocol => {
    const ports = accepts.filter(rule => rule.protocol === protocol).flatMap(rule => rule.ports ?? []);
    return portLists(mergePorts(ports)).map(list => formatTuple('allow', protocol, list, undefined, link));
  });
}

/** In ufw's order, and each port once: DNS may be in host-allow too. */
function mergePorts(ports: readonly Ports[]): Ports[] {
  const merged: Ports[] = [];
  for (const { first, last } of [...ports].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before === undefined || first > before.last) merged.push({ first, last });
    else merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, last) };
  }
  return merged;
}

function formatTuple(
  action: string,
  protocol: string,
  ports: string,
  source: Prefix | undefined,
  links: string,
): string {
  const from = source === undefined ? anywhere : formatPrefix(source);
  return [action, protocol, ports, anywhere, 'any', from, links].join(' ');
}

/** Whether the kernel has what ufw's files say. */
function isInForce(bridge: string, { iptables, ufw }: ForeignFirewalls): boolean {
  const loaded = iptables.filter(line => line.startsWith('-A ufw-user-') && line.includes(` -i ${bridge} `));
  return (
    iptables.some(line => line.startsWith('-A ufw-before-forward ')) &&
    loaded.length >= foundTuples(bridge, ufw?.rules ?? '').length
  );
}
