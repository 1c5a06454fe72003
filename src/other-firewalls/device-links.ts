// The links that chains at the hooks `ingress` and `egress` are for: `table netdev guard { chain in { … } }`.

/** By chain: the links that it is for. */
export type DeviceLinks = ReadonlyMap<string, readonly string[]>;

/**
 * Reads `type filter hook ingress device "eth0" priority filter` and `devices = { eth0, eth1 }` in what
 * `nft list chains` prints. nft 1.0.6 names the links of a chain in this text only.
 */
export function parseDeviceLinks(chains: string): DeviceLinks {
  const links = new Map<string, readonly string[]>();
  let [table, chain] = ['', ''];
  for (const line of chains.split('\n')) {
    table = /^table (\S+ \S+) \{$/.exec(line)?.[1] ?? table;
    chain = /^\tchain (\S+) \{$/.exec(line)?.[1] ?? chain;
    const [, one, several] =
      / hook (?:ingress|egress) (?:device "?([^" ]+)"?|devices = \{ ([^}]*) \}) /.exec(line) ?? [];
    const named = one === undefined ? several?.split(', ') : [one];
    if (named !== undefined)
      links.set(
        `${table} ${chain}`,
        named.map(name => name.replaceAll('"', '')),
      );
  }
  return links;
}
