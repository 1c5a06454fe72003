// Reads rules from the output of iptables-save, as far as they can be judged for a packet:
// `-A FORWARD -i eth0 -p tcp -m tcp --dport 443 -j DROP`
import {
  all,
  any,
  type FilterChains,
  type FilterRule,
  hasFlags,
  isBetween,
  isIn,
  isMac,
  isNamed,
  not,
  type Packet,
  type Truth,
  type Verdict,
} from './packet.ts';
import { everyQueue, type HeardQueues, verdictOfQueue } from './queues.ts';

/** Reads the rules of one table. */
export function parseSavedRules(lines: readonly string[], heard: HeardQueues = everyQueue): FilterChains {
  const chains = new Map<string, FilterRule[]>();
  for (const line of lines) {
    const [, declared] = /^:(\S+)/.exec(line) ?? [];
    if (declared !== undefined) chains.set(declared, []);
  }
  for (const line of lines) {
    const [, chain = '', rule = ''] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    chains.get(chain)?.push(parseRule(rule, name => chains.has(name), heard));
  }
  return chains;
}

type Condition = (packet: Packet) => Truth;

/** Modules that match nothing by themselves: their options do. */
const modules = ['tcp', 'udp', 'comment', 'multiport', 'conntrack', 'state', 'addrtype', 'mac', 'physdev'];

function parseRule(rule: string, isChain: (name: string) => boolean, heard: HeardQueues): FilterRule {
  const words = rule.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  const conditions: Condition[] = [];
  let verdict: Verdict = { kind: 'none' };
  for (let at = 0; at < words.length; ) {
    const isNegated = words[at] === '!';
    if (isNegated) at += 1;
    const [option = ''] = words.slice(at);
    const values = words.slice(at + 1);
    const end = values.findIndex(word => word === '!' || word.startsWith('-'));
    const own = end === -1 ? values : values.slice(0, end);
    const [value = '', second = ''] = own;
    at += 1 + own.length;
    if (option === '-j' || option === '-g') {
      verdict = isChain(value)
        ? { kind: option === '-j' ? 'jump' : 'goto', chain: value }
        : verdictOf(value, words.slice(at), heard);
      break;
    }
    const condition = conditionOf(option, value, second);
    conditions.push(isNegated ? packet => not(condition(packet)) : condition);
  }
  return {
    id: rule,
    judge: packet => [{ applies: all(conditions.map(each => each(packet))), verdict }],
  };
}

function verdictOf(target: string, options: readonly string[], heard: HeardQueues): Verdict {
  switch (target) {
    case 'ACCEPT':
      return { kind: 'accept' };
    case 'DROP':
    case 'REJECT':
      return { kind: 'drop' };
    case 'RETURN':
      return { kind: 'return' };
    case 'DNAT':
    case 'NETMAP':
    case 'REDIRECT':
      return { kind: 'translate' };
    case 'NOTRACK':
      return { kind: 'untrack' };
    case 'CT':
      return { kind: options.includes('--notrack') ? 'untrack' : 'none' };
    case 'NFQUEUE':
      return verdictOfQueues(options, heard);
  }
  return { kind: 'none' };
}

/** Reads `--queue-num 7 --queue-bypass` or `--queue-balance 7:9`. */
function verdictOfQueues(options: readonly string[], heard: HeardQueues): Verdict {
  const at = options.findIndex(option => option === '--queue-num' || option === '--queue-balance');
  const [first = 0, last = first] = at === -1 ? [] : (options[at + 1] ?? '').split(':').map(Number);
  return verdictOfQueue(first, last, options.includes('--queue-bypass'), heard);
}

function conditionOf(option: string, value: string, second: string): Condition {
  switch (option) {
    case '-i':
      return packet => isNamed(packet.in, value, '+');
    case '-o':
      return packet => isNamed(packet.out, value, '+');
    case '-s':
      return packet => isIn(packet.source, value);
    case '-d':
      return packet => isIn(packet.destination, value);
    case '--physdev-is-bridged':
      return isBridged;
    case '--mac-source':
      return packet => isMac(packet.mac, value);
    case '-p':
      return packet => value === packet.protocol || value === 'all';
    case '-m':
      return () => (modules.includes(value) ? true : null);
    case '--comment':
      return () => true;
    case '--dst-type':
      return packet => isOfType(packet, value);
    case '--sport':
    case '--sports':
      return packet => isOneOf(packet.sourcePort, value);
    case '--dport':
    case '--dports':
      return packet => isOneOf(packet.destinationPort, value);
    case '--ports':
      return packet => any([isOneOf(packet.sourcePort, value), isOneOf(packet.destinationPort, value)]);
    case '--state':
    case '--ctstate':
      return packet => any(value.split(',').map(state => isInState(packet, state)));
    case '--ctorigdstport':
      return packet => isOneOf(packet.originalPort, value);
    case '--tcp-flags':
      return packet => hasFlags(packet, flagsOf(value), flagsOf(second));
    case '--ctdir':
      return packet => value === packet.direction.toUpperCase();
  }
  return () => null;
}

/** Returns whether a packet goes from port to port of one bridge: of those that are judged, none is routed back. */
function isBridged({ in: incoming, out }: Packet): Truth {
  return incoming === null || out === null ? null : incoming === out;
}

/** Reads `FIN,SYN` or `NONE`. */
function flagsOf(list: string): string[] {
  return list.toLowerCase().split(',');
}

function isInState(packet: Packet, state: string): Truth {
  return state === 'DNAT' ? packet.isTranslated : state === packet.state.toUpperCase();
}

/** Returns whether the destination is of a type of addresses: LOCAL, BROADCAST, …; it is one of a single host. */
function isOfType({ isToHost }: Packet, type: string): Truth {
  if (type === 'LOCAL' || isToHost === null) return isToHost;
  return ['BROADCAST', 'MULTICAST', 'ANYCAST'].includes(type) ? false : null;
}

/** Returns whether a port is one of `443`, `1:1023` or `80,443,8000:8080`. */
function isOneOf(port: number | null, ports: string): Truth {
  return any(
    ports.split(',').map(part => {
      const [first = '', last = first] = part.split(':');
      return isBetween(port, Number(first), Number(last));
    }),
  );
}
