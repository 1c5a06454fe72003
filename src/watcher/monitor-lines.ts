/*
 * What the kernel and firewalld say of themselves, read for one question only: may something of a network have been
 * changed? A sign too many costs one look at the host; nothing else is believed of these texts, into which anybody who
 * writes rules and names links writes what he likes.
 */

/** Whether a line of `nft monitor` may be about rules. Elements of sets come and go, and none of virlan's rules has any. */
export function isSignOfRules(line: string): boolean {
  // When rules change faster than it reads, it says "# ERROR: We lost some netlink events!".
  return line.startsWith('#') ? line.startsWith('# ERROR') : !/^(add|delete|destroy) element /.test(line);
}

/** What `ip` says that is about no link: a sysctl, a route that came, or that it lost count. */
const signsOfHost = [
  /^inet all forwarding off/,
  /^((unreachable|blackhole|prohibit) )?\d+\.\d/,
  /^netlink receive error/,
];

/** Reads `ip -o monitor link address route netconf`. */
export class SignsOfLinks {
  /** Bridge → its last line, without what changes by itself when a machine is plugged in. */
  readonly #known = new Map<string, string>();

  /** Whether a line may be about one of these bridges, about forwarding, or about a subnet that could clash. */
  isSign(line: string, bridges: readonly string[]): boolean {
    const [, deleted, link = '', kind] = /^(Deleted )?\d+: ([^@:\s]+)\S*\s+(inet6?\b)?/.exec(line) ?? [];
    if (link === '') return signsOfHost.some(sign => sign.test(line)) || isLostRoute(line, bridges);
    if (kind === 'inet') return true;
    if (kind === 'inet6') return bridges.includes(link);
    if (deleted !== undefined) {
      this.#known.delete(link);
      // A port that leaves a bridge is deleted from it, and the line still names the bridge.
      return bridges.some(bridge => bridge === link || line.includes(` master ${bridge} `));
    }
    if (!bridges.includes(link)) return false;
    const lasting = line.replace(/NO-CARRIER,|,LOWER_UP| (qdisc|state) \S+| event [A-Z ]+/g, '');
    const isNew = this.#known.get(link) !== lasting;
    this.#known.set(link, lasting);
    return isNew;
  }
}

/** A route of another link that goes takes nothing away from a network. */
function isLostRoute(line: string, bridges: readonly string[]): boolean {
  return /^Deleted \d/.test(line) && bridges.some(bridge => line.includes(` dev ${bridge} `));
}
