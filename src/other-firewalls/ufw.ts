// ufw: accepts replies and pings by itself (before.rules) and drops or rejects what no rule of its own
// accepts. virlan adds rules by the program ufw, found again by their comment in /etc/ufw/user.rules:
//
//   ### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in_k8s-br0 comment=7669726c616e2d6b38732d627230
import { formatPrefix } from '../address/ip.ts';
import type { BackendName } from '../firewall/backend.ts';
import { portLists } from '../firewall/iptables-rule.ts';
import type { Ports, PrefixMatch, Rule, Ruleset } from '../firewall/rule.ts';
import type { System } from '../system/system.ts';
import { changeRules, type IptablesRule, lostJump, markedRules } from './iptables-rules.ts';
import {
  type Chain,
  dropsByPolicy,
  isIptablesBuiltin,
  markOf,
  type OtherFirewallsReading,
  type RuleOf,
} from './model.ts';
import type { OtherFirewall } from './other-firewall.ts';

type UfwRule = RuleOf<'ufw'>;

const files = {
  conf: '/etc/ufw/ufw.conf',
  rules: '/etc/ufw/user.rules',
  rules6: '/etc/ufw/user6.rules',
} as const;

const anywhere = '0.0.0.0/0';

/** ufw runs many programs: killed in between, it would leave the host with some of its rules only. */
const changeTimeoutSeconds = 30;

export const ufw: OtherFirewall<'ufw'> = {
  name: 'ufw',
  needsIptables: (system, chains) => isEnabled(system) || chains.some(isUfwPlace),
  async read(system) {
    const rules = system.readFile(files.rules);
    return rules === null ? null : { enabled: isEnabled(system), rules };
  },
  isPresent: ({ ufw: seen }) => seen?.enabled === true,
  answersFor: (chain, { ufw: seen }) => isIptablesBuiltin(chain) && seen?.enabled === true,
  wanted: wantedRules,
  found: foundRules,
  async allow(system, bridge, rules) {
    await changeRules(system, rules.filter(isIptablesRule), []);
    for (const rule of rules) {
      if (rule.kind === 'tuple')
        await changeUfw(system, [...ufwArguments(rule.tuple), 'comment', markOf(bridge)]);
      else if (rule.kind === 'reload') await changeUfw(system, ['reload']);
    }
  },
  async withdraw(system, bridge, rules) {
    await changeRules(system, [], rules.filter(isIptablesRule));
    const tuples = rules.flatMap(rule => (rule.kind === 'tuple' ? [rule.tuple] : []));
    if (system.isInstalled('ufw')) for (const tuple of tuples) await deleteTuple(system, tuple);
    // ufw was removed without its configuration, which a later installation would find.
    else if (tuples.length > 0) removeFromFiles(system, bridge);
  },
  describe(rule) {
    switch (rule.kind) {
      case 'iptables-rule':
        return `iptables ${rule.rule}`;
      case 'tuple':
        return `ufw ${ufwArguments(rule.tuple).join(' ')}`;
      case 'reload':
        return 'ufw reload';
    }
  },
};

function isEnabled(system: System): boolean {
  const isOn = /^\s*ENABLED\s*=\s*"?yes"?\s*$/im.test(system.readFile(files.conf) ?? '');
  return isOn && system.isInstalled('ufw');
}

/**
 * Returns whether a chain is the one of ufw that leads to all its rules for the host or for forwarded
 * packets.
 */
function isUfwPlace({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && /^ufw-before-(forward|input|output)$/.test(name);
}

function isIptablesRule(rule: UfwRule): rule is IptablesRule {
  return rule.kind === 'iptables-rule';
}

/**
 * Returns the rules that machines need. When the kernel lost ufw's rules and still drops by policy, ufw has
 * to load them again, which does not restore the jumps to them (ufw_start in ufw-init-functions). A disabled
 * ufw keeps its rules, because it may be restarting.
 */
function wantedRules(ruleset: Ruleset, backend: BackendName, reading: OtherFirewallsReading): UfwRule[] {
  const { ufw: seen, chains, iptables } = reading;
  if (seen === null) return [];
  const { bridge } = ruleset;
  const found = foundRules(bridge, reading);
  const isThere = (rule: UfwRule) => found.some(other => isSameRule(other, rule));
  const drops = chains.some(chain => isIptablesBuiltin(chain) && dropsByPolicy(chain));
  // virlan's chains of iptables come before ufw's, and it has none for outgoing packets.
  const isOnlyOutgoing = backend === 'iptables';
  const builtins = isOnlyOutgoing ? ['OUTPUT'] : ['FORWARD', 'INPUT', 'OUTPUT'];
  const jumps = builtins.flatMap(chain => {
    const place = `ufw-before-${chain.toLowerCase()}`;
    const hasPlace = chains.some(each => isUfwPlace(each) && each.name === place);
    return hasPlace ? lostJump(bridge, iptables, chain, place) : [];
  });
  // `ufw default deny outgoing` would keep the host's DHCP replies from machines.
  const outgoing = formatTuple('allow', 'any', 'any', undefined, `out_${bridge}`);
  const incoming = isOnlyOutgoing
    ? []
    : [...ruleset.forward.flatMap(rule => routeTuple(bridge, rule)), ...inputTuples(ruleset)];
  const tuples = [...incoming, outgoing].map(tuple => ({ kind: 'tuple', tuple }) as const);
  return [
    ...jumps.filter(rule => isThere(rule) || (seen.enabled && drops)),
    ...tuples.filter(rule => isThere(rule) || seen.enabled),
    ...(seen.enabled && drops && !isInForce(bridge, reading) ? [{ kind: 'reload' } as const] : []),
  ];
}

function foundRules(bridge: string, { ufw: seen, iptables }: OtherFirewallsReading): UfwRule[] {
  return [
    ...markedRules(bridge, iptables, /^-A (FORWARD|INPUT|OUTPUT) .* -j ufw-before-(forward|input|output)$/),
    ...foundTuples(bridge, seen?.rules ?? '').map(tuple => ({ kind: 'tuple', tuple }) as const),
  ];
}

function isSameRule(a: UfwRule, b: UfwRule): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Returns whether the kernel has the rules of ufw's files. */
function isInForce(bridge: string, { iptables, ufw: seen }: OtherFirewallsReading): boolean {
  const loaded = iptables.filter(line => isUserRule(line, bridge));
  return (
    iptables.some(line => line.startsWith('-A ufw-before-forward ')) &&
    loaded.length >= foundTuples(bridge, seen?.rules ?? '').length
  );
}

/** Returns whether a line of `iptables-save` is a rule of ufw's file user.rules about a bridge. */
function isUserRule(line: string, bridge: string): boolean {
  return (
    line.startsWith('-A ufw-user-') && [` -i ${bridge} `, ` -o ${bridge} `].some(each => line.includes(each))
  );
}

function foundTuples(bridge: string, rules: string): string[] {
  const tuple = new RegExp(`^### tuple ### (.*)${commentOf(bridge)}$`);
  return rules.split('\n').flatMap(line => tuple.exec(line)?.[1] ?? []);
}

/** Returns the comment as ufw writes it behind a tuple. */
function commentOf(bridge: string): string {
  return ` comment=${Buffer.from(markOf(bridge)).toString('hex')}`;
}

async function changeUfw(system: System, args: readonly string[]): Promise<void> {
  await system.run('ufw', args, { timeoutSeconds: changeTimeoutSeconds });
}

async function deleteTuple(system: System, tuple: string): Promise<void> {
  const [first = '', ...rest] = ufwArguments(tuple);
  await changeUfw(system, first === 'route' ? ['route', 'delete', ...rest] : ['delete', first, ...rest]);
}

function removeFromFiles(system: System, bridge: string): void {
  for (const path of [files.rules, files.rules6]) {
    const rules = system.readFile(path);
    if (rules !== null) system.writeFile(path, withoutTuples(bridge, rules));
  }
}

/** Returns the arguments of ufw(8) that add a tuple, or remove it behind `delete`. */
export function ufwArguments(tuple: string): string[] {
  const [action = '', protocol = '', ports = '', destination = '', , source = '', links = ''] =
    tuple.split(' ');
  const isOutgoing = links.startsWith('out_');
  const [link = '', to] = links.split('!').map(each => each.replace(/^(in|out)_/, ''));
  // Without an address a rule is for both IPv4 and IPv6: a bridge hands the firewall frames of both.
  const isBetweenMachines = to !== undefined && source === anywhere;
  return [
    ...(action.startsWith('route:') ? ['route'] : []),
    ...['allow', isOutgoing ? 'out' : 'in', 'on', link],
    ...(to === undefined ? [] : ['out', 'on', to]),
    ...(protocol === 'any' ? [] : ['proto', protocol]),
    ...(isBetweenMachines ? [] : ['from', source, 'to', destination]),
    ...(ports === 'any' ? [] : ['port', ports]),
  ];
}

/** Returns the text of user.rules or user6.rules without the bridge's tuples. */
export function withoutTuples(bridge: string, rules: string): string {
  const comment = commentOf(bridge);
  const blocks = rules.split(/^(?=### )/m);
  return blocks
    .filter(block => !(block.startsWith('### tuple ### ') && block.split('\n')[0]?.endsWith(comment)))
    .join('');
}

/**
 * Returns the tuple of a rule for forwarded packets. ufw lets answers pass by itself. It cannot tell what
 * is translated from other packets, which virlan's own rules reject. ufw keeps one of two equal rules, so that what
 * comes from another network of virlan's is left to that network.
 */
function routeTuple(
  bridge: string,
  { from, to, source, destination, tracked, translated, verdict }: Rule,
): string[] {
  if (verdict.kind !== 'accept' || tracked !== undefined) return [];
  if (translated === true)
    return to === undefined
      ? []
      : [formatTuple('route:allow', 'any', 'any', undefined, `out_${to}`, destination)];
  if (from !== bridge && source !== undefined) return [];
  const links = [...(from === undefined ? [] : [`in_${from}`]), ...(to === undefined ? [] : [`out_${to}`])];
  return [formatTuple('route:allow', 'any', 'any', source, links.join('!'))];
}

function inputTuples({ bridge, input }: Ruleset): string[] {
  const accepts = input.rules.filter(
    ({ from, verdict, protocol, translated }) =>
      from === bridge &&
      verdict.kind === 'accept' &&
      protocol !== 'icmp-echo-request' &&
      // ufw would let everything pass to the host.
      translated !== true,
  );
  const link = `in_${bridge}`;
  if (accepts.some(({ protocol }) => protocol === undefined))
    return [formatTuple('allow', 'any', 'any', undefined, link)];
  return (['udp', 'tcp'] as const).flatMap(protocol => {
    const ports = accepts.filter(rule => rule.protocol === protocol).flatMap(rule => rule.ports ?? []);
    return portLists(mergePorts(ports)).map(list => formatTuple('allow', protocol, list, undefined, link));
  });
}

/** Sorts ports as ufw does and lists each once: DNS may be in host-allow too. */
function mergePorts(ports: readonly Ports[]): Ports[] {
  const merged: Ports[] = [];
  for (const { first, last } of [...ports].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous === undefined || first > previous.last) merged.push({ first, last });
    else merged[merged.length - 1] = { first: previous.first, last: Math.max(previous.last, last) };
  }
  return merged;
}

function formatTuple(
  action: string,
  protocol: string,
  ports: string,
  source: PrefixMatch | undefined,
  links: string,
  destination?: PrefixMatch,
): string {
  const [from, to] = [source, destination].map(each =>
    each === undefined ? anywhere : formatPrefix(each.prefix),
  );
  return [action, protocol, ports, to, 'any', from, links].join(' ');
}
