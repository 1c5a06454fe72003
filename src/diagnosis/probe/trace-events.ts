// The events of traced packets, from the lines of `nft monitor`. Pure.
//   trace id 92e81a45 ip filter FORWARD packet: iif "k8s-br0" oif "uplink" ip saddr 192.168.100.254 …
//   trace id 92e81a45 ip filter FORWARD rule tcp dport 22 drop (verdict drop)

/** An event of a traced packet: a rule that it meets, or the policy of a chain. */
export interface TraceEvent {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  /** `rule tcp dport 22 drop (verdict drop)`, or `policy accept meta mark 0x00000001`. */
  readonly text: string;
  /** The links and fields of the packet, as the kernel reported them before; empty where it did not. */
  readonly packet: string;
}

/** Returns the events in a trace, in their order. Lines of other kinds are passed over. */
export function traceEvents(lines: readonly string[]): TraceEvent[] {
  /** Packets by trace id: the kernel gives a packet one number per hook. */
  const packets = new Map<string, string>();
  const events: TraceEvent[] = [];
  for (const line of lines) {
    const [, id = '', family = '', table = '', chain = '', text = ''] =
      /^trace id (\w+) (\S+) (\S+) (\S+) (.*)$/.exec(line) ?? [];
    if (id === '') continue;
    if (text.startsWith('packet: ')) packets.set(id, text);
    else events.push({ family, table, chain, text, packet: packets.get(id) ?? '' });
  }
  return events;
}

/** Returns whether a packet has all these fields, such as `ip daddr 192.0.2.1`. */
export function hasFields(packet: string, ...fields: readonly string[]): boolean {
  return fields.every(field => packet.includes(` ${field} `));
}
