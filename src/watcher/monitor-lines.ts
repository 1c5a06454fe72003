// Lines of `nft monitor` and `ip monitor`, read for one question only: may something of a network have changed? One line
// too many costs a scan of the host. Nothing else is believed of this text: whoever writes rules and names links controls it.
//
//   add rule inet filter input tcp dport 22 accept
//   4: k8s-br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default

/** Returns whether a line of `nft monitor` may be about rules. virlan's rules have no sets, whose elements come and go. */
export function isRulesChange(line: string): boolean {
  // When rules change faster than it reads, it says "# ERROR: We lost some netlink events!".
  return line.startsWith('#') ? line.startsWith('# ERROR') : !/^(add|delete|destroy) element /.test(line);
}

/** Lines of `ip monitor` that name no link: a sysctl, a new route, lost messages. */
const hostChanges = [
  /^inet all forwarding off/,
  /^((unreachable|blackhole|prohibit) )?\d+\.\d/,
  /^netlink receive error/,
];

/** Reads `ip -o monitor link address route netconf`. */
export class LinkChanges {
  /** By bridge: its last line, without what changes when a machine is plugged in. */
  readonly #known = new Map<string, string>();

  /** Returns whether a line may be about one of these bridges, about forwarding, or about a subnet that could overlap. */
  isChange(line: string, bridges: readonly string[]): boolean {
    const [, deleted, link = '', family] = /^(Deleted )?\d+: ([^@:\s]+)\S*\s+(inet6?\b)?/.exec(line) ?? [];
    if (link === '') return hostChanges.some(change => change.test(line)) || isLostRoute(line, bridges);
    if (family === 'inet') return true;
    if (family === 'inet6') return bridges.includes(link);
    if (deleted !== undefined) {
      this.#known.delete(link);
      // A port that leaves a bridge is reported as deleted from it, and the line still names the bridge.
      return bridges.some(bridge => bridge === link || line.includes(` master ${bridge} `));
    }
    if (!bridges.includes(link)) return false;
    const lasting = line.replace(/NO-CARRIER,|,LOWER_UP| (qdisc|state) \S+| event [A-Z ]+/g, '');
    const isNew = this.#known.get(link) !== lasting;
    this.#known.set(link, lasting);
    return isNew;
  }
}

/** A lost route of another link does not concern a network. */
function isLostRoute(line: string, bridges: readonly string[]): boolean {
  return /^Deleted \d/.test(line) && bridges.some(bridge => line.includes(` dev ${bridge} `));
}
