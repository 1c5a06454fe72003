import { formatPrefix } from '../address/ip.ts';
import type { Rule, Ruleset, Verdict } from './model.ts';

/** The table of a network: virlan's own, so that no other program's rules are ever read or removed. */
export function tableName(bridge: string): string {
  return `virlan-${bridge}`;
}

/** The rules as a script for `nft -f -` on a host that has no such table. */
export function renderNftables(ruleset: Ruleset): string {
  const table = `table ip ${tableName(ruleset.bridge)}`;
  const { only } = ruleset.input;
  const chains = [
    ['forward', 'type filter hook forward priority filter; policy accept;', ruleset.forward.map(renderRule)],
    [
      'input',
      'type filter hook input priority filter; policy accept;',
      [...(only === null ? [] : [`iifname != "${only}" return`]), ...ruleset.input.rules.map(renderRule)],
    ],
    [
      'postrouting',
      'type nat hook postrouting priority srcnat; policy accept;',
      ruleset.postrouting.map(renderRule),
    ],
  ] as const;
  const bodies = chains.map(
    ([name, hook, rules]) =>
      `\tchain ${name} {\n${[hook, ...rules].map(line => `\t\t${line}\n`).join('')}\t}\n`,
  );
  return `${table} {\n${bodies.join('\n')}}\n`;
}

/** As `createNftables`, whatever was there, in one transaction. */
export function replaceNftables(bridge: string, rules: string): string {
  return `${removeNftables(bridge)}${rules}`;
}

/**
 * The script that puts the table in place, and fails where there is one. Without a removal, the kernel need not wait
 * until no packet meets the old rules any more, which is most of the time that a load takes.
 */
export function createNftables(bridge: string, rules: string): string {
  return `create table ip ${tableName(bridge)}\n${rules}`;
}

/** A script that removes the table, and is no error where there is none. */
export function removeNftables(bridge: string): string {
  const table = `table ip ${tableName(bridge)}`;
  return `${table}\ndelete ${table}\n`;
}

const verdicts: Record<Verdict, string> = {
  accept: 'accept',
  drop: 'drop',
  return: 'return',
  reset: 'reject with tcp reset',
  'port-unreachable': 'reject with icmp type port-unreachable',
  masquerade: 'masquerade',
  'masquerade-high-ports': 'masquerade to :1024-65535',
};

function renderRule(rule: Rule): string {
  const { from, to, source, destination, protocol, ports, tracked, verdict } = rule;
  const words: string[] = [];
  if (from !== undefined) words.push(`iifname "${from}"`);
  if (to !== undefined) words.push(`oifname "${to}"`);
  if (source !== undefined) words.push(`ip saddr ${formatPrefix(source)}`);
  if (destination !== undefined) {
    words.push(
      'not' in destination
        ? `ip daddr != ${formatPrefix(destination.not)}`
        : `ip daddr ${formatPrefix(destination)}`,
    );
  }
  if (tracked !== undefined) words.push(`ct state ${tracked.join(',')}`);
  if (protocol === 'icmp-echo-request') words.push('icmp type echo-request');
  else if (protocol !== undefined && ports === undefined) words.push(`meta l4proto ${protocol}`);
  else if (protocol !== undefined && ports !== undefined) {
    const listed = ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
    words.push(`${protocol} dport { ${listed.join(', ')} }`);
  }
  return [...words, verdicts[verdict]].join(' ');
}
