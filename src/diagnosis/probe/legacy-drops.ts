// Finds the rules of iptables-legacy that dropped packets of a probe, which no trace shows, by their counters:
// `[12:720] -A FORWARD -s 192.168.100.0/24 -j DROP`
import { hasLegacyTables } from '../../firewall/flavours.ts';
import { legacyFamily } from '../../other-firewalls/model.ts';
import type { System } from '../../system/system.ts';
import type { Drop, Packet } from '../details.ts';
import type { Drops } from './drops.ts';

/** Returns what `iptables-legacy-save` prints with counters; empty where there are no tables of iptables-legacy. */
export async function readLegacyCounters({
  readFile,
  isInstalled,
  run,
}: Pick<System, 'readFile' | 'isInstalled' | 'run'>): Promise<string> {
  const program = 'iptables-legacy-save';
  if (!hasLegacyTables(readFile, 'ipv4') || !isInstalled(program)) return '';
  return run(program, ['--counters']).catch(() => '');
}

/** A rule that drops, and how many packets it has dropped. */
interface DroppingRule {
  readonly table: string;
  readonly chain: string;
  readonly rule: string;
  readonly packets: number;
}

/** The built-in chains that each packet of a probe meets, as far as they have one. */
const chainsOnTheWay: Readonly<Record<Packet['kind'], readonly string[]>> = {
  dhcp: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  dns: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  outgoing: ['PREROUTING', 'FORWARD', 'POSTROUTING'],
  returning: ['PREROUTING', 'FORWARD', 'POSTROUTING'],
};

const builtIn = /^[A-Z]+$/;

/**
 * Returns the first rule for each kind of packet that dropped more packets after the probe than before it. Other
 * packets may have met it meanwhile, so this only explains a loss that is certain. `outside` is the link to the
 * outside.
 */
export function findLegacyDrops(
  before: string,
  after: string,
  bridge: string,
  outside: string | null,
): Drops {
  const earlier = new Map(droppingRules(before).map(each => [keyOf(each), each.packets]));
  const grown = droppingRules(after).filter(each => each.packets > (earlier.get(keyOf(each)) ?? 0));
  const dropOf = (kind: Packet['kind']): Drop | null => {
    const rule = grown.find(({ chain }) => !builtIn.test(chain) || chainsOnTheWay[kind].includes(chain));
    if (rule === undefined) return null;
    return {
      family: legacyFamily,
      table: rule.table,
      chain: rule.chain,
      rule: rule.rule,
      links: linksOf(kind, rule.chain, bridge, outside),
    };
  };
  return {
    dhcp: dropOf('dhcp'),
    dns: dropOf('dns'),
    outgoing: dropOf('outgoing'),
    returning: dropOf('returning'),
  };
}

/** Returns the links that a packet has in a chain, as iptables can match them there. */
function linksOf(kind: Packet['kind'], chain: string, bridge: string, outside: string | null): Drop['links'] {
  const [from, to] = kind === 'returning' ? [outside, bridge] : [bridge, outside];
  if (chain === 'FORWARD') return { in: from, out: to };
  if (chain === 'OUTPUT' || chain === 'POSTROUTING')
    return { in: null, out: kind === 'outgoing' ? outside : bridge };
  return { in: from, out: null };
}

function droppingRules(save: string): DroppingRule[] {
  let table = '';
  return save.split('\n').flatMap(line => {
    if (line.startsWith('*')) table = line.slice(1);
    const [, packets, chain = '', rule = ''] =
      /^\[(\d+):\d+\] -A (\S+) (.*-j (?:DROP|REJECT(?: --reject-with \S+)?))$/.exec(line) ?? [];
    return packets === undefined ? [] : [{ table, chain, rule, packets: Number(packets) }];
  });
}

function keyOf({ table, chain, rule }: DroppingRule): string {
  return `${table} ${chain} ${rule}`;
}
