// The words for rules that drop packets of a forward or lead them elsewhere, and the commands about them.
import { formatIp } from '../address/ip.ts';
import { formatForward, formatSpan } from '../config/forward.ts';
import { excerpt } from '../text.ts';
import type { ForwardDrop, ForwardTaking, Way } from './forward-rules.ts';
import { iptablesProgramOf } from './model.ts';
import { decidingKeys } from './own-chain-text.ts';
import { ownChainOf } from './own-chains.ts';

/** Longest part of a rule that a sentence repeats, in characters. */
const maxRuleLength = 120;

const packetsOf: Readonly<Record<Way, string>> = {
  arriving: 'packets of other hosts to',
  forwarded: 'packets of other hosts to',
  answering: 'the answers of',
  answered: 'the answers of',
};

/** Describes the rule, whose texts are hostile, in one line. */
export function forwardDropText({ forward, way, base, chain, rule }: ForwardDrop): string {
  const { family, table } = base;
  const own = ownChainOf({ family, table, chain });
  const decision = own === null ? '' : ` (virlan's own: ${decidingKeys(own, null)})`;
  return `${packetsOf[way]} the forward ${formatForward(forward)} are dropped by a rule of ${placeText({ base, chain, rule })}${decision}`;
}

/** Describes a rule that keeps connections to a forward from virlan's translation: one line, of hostile texts. */
export function forwardTakingText({ forward, effect, ...rule }: ForwardTaking): string {
  const named = formatForward(forward);
  const loss =
    effect === 'translate'
      ? `the port of the forward ${named} is also led elsewhere, by`
      : `connections to the forward ${named} are not tracked, and so do not get to the machine, because of`;
  return `${loss} a rule of ${placeText(rule)}: choose another port, or remove the rule`;
}

function placeText({ base, chain, rule }: Pick<ForwardTaking, 'base' | 'chain' | 'rule'>): string {
  const text = rule === null ? '' : `: ${excerpt(rule, maxRuleLength)}`;
  return `chain ${chain} of table ${base.family} ${base.table}${text}`;
}

/** Returns whether names can be words of a command. */
function areWords(...names: readonly string[]): boolean {
  return names.every(name => /^[A-Za-z0-9_.-]+$/.test(name));
}

/** Returns a command that shows the chain of such a rule; null when it would contain a hostile name. */
export function commandAboutTaking({ base, chain }: ForwardTaking): string | null {
  const { family, table } = base;
  if (!areWords(table, chain)) return null;
  const program = iptablesProgramOf(base);
  return program === null
    ? `nft list chain ${family} ${table} ${chain}`
    : `${program} -t ${table} -S ${chain}`;
}

/**
 * Returns a command that lets the packets of the forward pass; null when it would contain a hostile name, and against
 * rules of virlan itself.
 */
export function commandAgainstDrop({ base, chain, bridge, way, forward, ip }: ForwardDrop): string | null {
  const { family, table, name, hook } = base;
  if (ownChainOf({ family, table, chain }) !== null) return null;
  if (!areWords(table, name)) return null;
  const { protocol, first, last, to, address } = forward;
  const ports = { first: to, last: to + last - first };
  const machine = formatIp(ip);
  const program = iptablesProgramOf(base);
  if (program !== null) {
    const span = ({ first: from, last: end }: typeof ports) =>
      formatSpan({ first: from, last: end }).replace('-', ':');
    const matches: Readonly<Record<Way, string>> = {
      arriving: `${address === null ? '' : `-d ${formatIp(address)} `}-p ${protocol} --dport ${span({ first, last })}`,
      forwarded: `${hook === 'prerouting' ? '' : `-o ${bridge} `}-d ${machine} -p ${protocol} --dport ${span(ports)}`,
      answering: `${hook === 'postrouting' ? '' : `-i ${bridge} `}-s ${machine} -p ${protocol} --sport ${span(ports)}`,
      answered: `${address === null ? '' : `-s ${formatIp(address)} `}-p ${protocol} --sport ${span({ first, last })}`,
    };
    return `${program} -t ${table} -I ${name} ${matches[way]} -j ACCEPT`;
  }
  const matches: Readonly<Record<Way, string>> = {
    arriving: `${address === null ? '' : `ip daddr ${formatIp(address)} `}${protocol} dport ${formatSpan({ first, last })}`,
    forwarded: `${hook === 'prerouting' ? '' : `oifname ${bridge} `}ip daddr ${machine} ${protocol} dport ${formatSpan(ports)}`,
    answering: `${hook === 'postrouting' ? '' : `iifname ${bridge} `}ip saddr ${machine} ${protocol} sport ${formatSpan(ports)}`,
    answered: `${address === null ? '' : `ip saddr ${formatIp(address)} `}${protocol} sport ${formatSpan({ first, last })}`,
  };
  return `nft insert rule ${family} ${table} ${name} ${matches[way]} accept`;
}
