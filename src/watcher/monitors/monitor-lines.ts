// Decides by the lines of `nft monitor`, `ip monitor` and `bridge monitor` whether a network may have changed. A line
// that is wrongly counted costs one scan of the host. Nothing else is read from this text, because the authors of
// rules and names control it.
//
//   add rule inet filter input tcp dport 22 accept
//   4: k8s-br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default
import { counterTable, probeNamespace } from '../../diagnosis/probe/names.ts';

/** Lines of `nft monitor` about a probe of virlan's: its table, and the way of its packets. */
const ofProbe = new RegExp(`^(trace |[a-z]+ (table|chain|rule|set) ip ${counterTable}( |$))`);

/**
 * Returns whether a line of `nft monitor` may be about rules, or about elements of virlan's own sets. Those of
 * other programs come and go.
 */
export function isRulesChange(line: string): boolean {
  // When rules change faster than nft reads, it prints "# ERROR: We lost some netlink events!".
  if (line.startsWith('#')) return line.startsWith('# ERROR');
  return (!isElement(line) || / element \S+ virlan-/.test(line)) && !ofProbe.test(line);
}

/**
 * Returns whether a line of `nft monitor` may be about rules that packets of machines meet, or about elements of sets
 * and maps that such rules look up. The start of each machine changes elements of the guard, and needs no probe.
 */
export function isRulesOfWayChange(line: string): boolean {
  return (
    !/^(add|delete|destroy) element \S+ virlan[-_]/.test(line) && (isElement(line) || isRulesChange(line))
  );
}

function isElement(line: string): boolean {
  return /^(add|delete|destroy) element /.test(line);
}

/** Lines of `ip monitor` about the way of IPv4 packets: routes, their rules, forwarding, reverse paths. */
const wayChanges = [
  /^(Deleted )?((unreachable|blackhole|prohibit|throw|local|broadcast|multicast) )?(default|\d+\.[\d.]+)[ /]/,
  /^(Deleted )?\d+:\t(not )?from /,
  // A new link is reported with all of its settings, a changed setting alone.
  /^inet \S+ (forwarding|rp_filter) \S+ *$/,
  /^netlink receive error/,
];

/** Returns whether a line of `ip monitor` may be about a way that packets of machines take. */
export function isWayChange(line: string): boolean {
  return wayChanges.some(change => change.test(line)) && !line.includes(` dev ${probeNamespace} `);
}

/**
 * Reads `ip -o monitor link` for links that go down and come up: the kernel removes the routes of a link that goes down
 * without a message.
 */
export class LinkStates {
  readonly #up: Set<string>;

  /** `up` are the links that have a carrier now. */
  constructor(up: readonly string[]) {
    this.#up = new Set(up);
  }

  /** Returns whether a link that is in no bridge has gained or lost its carrier. `bridges` are virlan's own. */
  isChange(line: string, bridges: readonly string[]): boolean {
    const [, deleted, link = '', flags = ''] = /^(Deleted )?\d+: ([^@:\s]+)\S* <(\S*)>/.exec(line) ?? [];
    if (link === '' || link === probeNamespace || bridges.includes(link)) return false;
    const [wasUp, isUp] = [
      this.#up.has(link),
      deleted === undefined && flags.split(',').includes('LOWER_UP'),
    ];
    if (isUp) this.#up.add(link);
    else this.#up.delete(link);
    return wasUp !== isUp && !line.includes(' master ');
  }
}

/**
 * Returns whether a line of `bridge monitor fdb` may be about one of the entries by which a tunnel floods to a peer:
 * `Deleted 00:00:00:00:00:00 dev k8s-br0-vx dst 10.0.0.2 self permanent`. MACs that bridges learn come and go.
 */
export function isFloodChange(line: string): boolean {
  return /^(Deleted )?00:00:00:00:00:00 dev \S+-vx /.test(line) || line.startsWith('netlink receive error');
}

/** Relevant lines of `ip monitor` without a link: a sysctl, a new route, lost messages. */
const hostChanges = [
  /^inet all forwarding off/,
  /^((unreachable|blackhole|prohibit) )?\d+\.\d/,
  // Rules of routing: "5270:", a tab, "from all lookup 52".
  /^(Deleted )?\d+:\t(not )?from /,
  // Default routes, which VPNs write as two halves.
  /^(Deleted )?default /,
  /^Deleted (0|128)\.0\.0\.0\/1 /,
  /^netlink receive error/,
];

/** Reads `ip -o monitor link address route netconf rule`. */
export class LinkChanges {
  /**
   * By link: of a bridge its last line, without the parts that change when a machine is plugged in; of a port
   * what virlan decides of it.
   */
  readonly #known = new Map<string, string>();

  /**
   * Returns whether a line may be about one of these bridges, about forwarding, or about a subnet that could
   * overlap.
   */
  isChange(line: string, bridges: readonly string[]): boolean {
    const [, deleted, link = '', family] = /^(Deleted )?\d+: ([^@:\s]+)\S*\s+(inet6?\b)?/.exec(line) ?? [];
    if (link === '')
      return (
        hostChanges.some(change => change.test(line)) ||
        isLostRoute(line, bridges) ||
        bridges.some(bridge => line.startsWith(`inet ${bridge} forwarding off`))
      );
    if (family === 'inet') return true;
    if (family === 'inet6') return bridges.includes(link);
    if (deleted !== undefined) {
      this.#known.delete(link);
      // A port that leaves a bridge is reported as deleted from it, and the line still names the bridge.
      return bridges.some(bridge => bridge === link || line.includes(` master ${bridge} `));
    }
    const lasting = bridges.includes(link) ? lastingPart(line) : portState(line, bridges);
    if (lasting === null) return false;
    const isNew = this.#known.get(link) !== lasting;
    this.#known.set(link, lasting);
    return isNew;
  }
}

/**
 * Reads `bridge -d -o monitor link`, which shows the options of ports. `ip monitor` reports a change of them by a line
 * without them.
 */
export class PortChanges {
  /** By link: its bridge and its options, and its mask of forwarded groups. */
  readonly #known = new Map<string, { readonly shown: string; readonly mask: number }>();
  readonly #maskOf: (link: string) => number;
  readonly #filtersVlans: (bridge: string) => boolean;

  /**
   * `maskOf` reads the mask of a port, of whose change there is a line that does not show it. So it is with VLANs,
   * where a bridge `filtersVlans`.
   */
  constructor(maskOf: (link: string) => number, filtersVlans: (bridge: string) => boolean) {
    this.#maskOf = maskOf;
    this.#filtersVlans = filtersVlans;
  }

  /** Returns whether a line may be about other options or VLANs of a port of one of these bridges. */
  isChange(line: string, bridges: readonly string[]): boolean {
    if (line.startsWith('netlink receive error')) return true;
    const [, deleted, link = ''] = /^(Deleted )?\d+: ([^@:\s]+)/.exec(line) ?? [];
    if (deleted !== undefined) this.#known.delete(link);
    const [, bridge = '', options] = / master (\S+) (?:[^\\]*\\\s+(.*))?/.exec(line) ?? [];
    if (deleted !== undefined || !bridges.includes(bridge)) return false;
    if (this.#filtersVlans(bridge)) return true;
    // Lines about the link itself, which have no options, are for `ip monitor`.
    if (options === undefined) return false;
    const known = this.#known.get(link);
    const seen = { shown: `${bridge} ${options}`, mask: this.#maskOf(link) };
    this.#known.set(link, seen);
    // virlan adds bits to the mask, and removes none.
    return known?.shown !== seen.shown || (known.mask & ~seen.mask) !== 0;
  }
}

function lastingPart(line: string): string {
  return line.replace(/NO-CARRIER,|,LOWER_UP| (qdisc|state) \S+| event [A-Z ]+/g, '');
}

/**
 * Returns flag UP, MTU and bridge of a port; null if the line is about no port of these bridges. The kernel
 * reports a port in two forms, as a link and as a port, which differ in all else.
 */
function portState(line: string, bridges: readonly string[]): string | null {
  const [, flags = '', mtu, master = ''] = /<(\S*)> mtu (\d+) .*?\bmaster (\S+) /.exec(line) ?? [];
  return bridges.includes(master) ? `${flags.split(',').includes('UP')} ${mtu} ${master}` : null;
}

/** Returns whether a route of one of the bridges was deleted. */
function isLostRoute(line: string, bridges: readonly string[]): boolean {
  return /^Deleted \d/.test(line) && bridges.some(bridge => line.includes(` dev ${bridge} `));
}
