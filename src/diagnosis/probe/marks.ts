// The marks of a probe's packets when they are routed: another program sets them, and a routing rule may read them.
import type { MarkedRoute } from '../../network/routes/marked-route.ts';
import { routedChains } from './counters.ts';
import { counterTable } from './names.ts';
import type { ProbeRequest } from './protocol.ts';
import { hasFields, type TraceEvent } from './trace-events.ts';

/** The packets that a routing rule may lead elsewhere. */
export type MarkedPackets = 'dns' | 'outgoing' | 'returning';

/** The mark of each packet that has one. */
export type Marks = Readonly<Partial<Record<MarkedPackets, number>>>;

/** The routes of packets that marks lead elsewhere; null or no entry for the others. */
export type Diversions = Readonly<Partial<Record<MarkedPackets, MarkedRoute | null>>>;

/** Returns the marks of a probe's packets past the last rule before their routing. */
export function findMarks(events: readonly TraceEvent[], { gateway, nextHop }: ProbeRequest): Marks {
  const markOf = (...fields: readonly string[]) =>
    findMark(events.filter(({ packet }) => hasFields(packet, ...fields)));
  const found = {
    dns: markOf(`ip saddr ${gateway}`, 'udp sport 53'),
    outgoing: markOf(`ip daddr ${nextHop}`),
    returning: markOf(`ip saddr ${nextHop}`),
  };
  return Object.fromEntries(Object.entries(found).filter(([, mark]) => mark !== null));
}

/** Returns the first mark that a packet has at the end of our last chain before routing; null where none has one. */
function findMark(events: readonly TraceEvent[]): number | null {
  const routed = events.filter(({ table, chain }) => table === counterTable && routedChains.includes(chain));
  // A packet whose mark is refused comes no further than the chain that has set it, of the type `route`.
  const ends = routed.length > 0 ? routed : events.slice(-1);
  const marks = ends.flatMap(({ text }) => /^policy accept meta mark (0x[0-9a-f]+)/.exec(text)?.[1] ?? []);
  return marks[0] === undefined ? null : Number(marks[0]);
}
