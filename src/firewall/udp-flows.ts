// Ends UDP flows of forwards: without this, a client that keeps sending goes on to the machine that had the
// port before, and one that sent before there was a forward never gets to it (nf_nat decides at the first
// packet of a flow only).
//
//   udp      17 29 src=203.0.113.9 dst=203.0.113.1 sport=5353 dport=30001 src=192.168.100.57 dst=203.0.113.9 …
import { formatIp } from '../address/ip.ts';
import type { System } from '../system/system.ts';
import { listTimeoutSeconds } from './rules-reader.ts';
import type { Translation } from './translation.ts';

/** The program that lists and ends flows. Without it, flows end when they have been silent for long enough. */
export const conntrackProgram = 'conntrack';

/** Ends the flows of UDP through translations. Failures are ignored: there may be none. */
export async function endUdpFlows(system: System, translations: readonly Translation[]): Promise<void> {
  const udp = translations.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0 || !system.isInstalled(conntrackProgram)) return;
  for (const machine of new Set(udp.map(({ to }) => to))) {
    const listed = await conntrack(system, ['-L', '-p', 'udp', '--dst-nat', formatIp(machine)]);
    const ports = new Set(flowPorts(listed));
    const own = udp.filter(({ to }) => to === machine);
    for (const port of ports)
      if (own.some(({ ports: { first, last } }) => port >= first && port <= last))
        await conntrack(system, [
          ...['-D', '-p', 'udp', '--orig-port-dst', `${port}`],
          ...['--dst-nat', formatIp(machine)],
        ]);
  }
}

/**
 * Ends the flows of UDP to ports of the host that no rule translates: clients that sent before there was the
 * forward. Failures are ignored.
 */
export async function endUntranslatedUdpFlows(
  system: System,
  translations: readonly Translation[],
): Promise<void> {
  const udp = translations.filter(({ protocol }) => protocol === 'udp').map(({ ports }) => ports);
  if (udp.length === 0 || !system.isInstalled(conntrackProgram)) return;
  const ranges = udp.filter(({ first, last }) => first !== last);
  // conntrack has no filter for a range of ports.
  const listed = ranges.length === 0 ? '' : await conntrack(system, ['-L', '-p', 'udp']);
  const inRanges = flowPorts(listed).filter(port =>
    ranges.some(({ first, last }) => port >= first && port <= last),
  );
  const single = udp.flatMap(({ first, last }) => (first === last ? [first] : []));
  for (const port of new Set([...single, ...inRanges]))
    await conntrack(system, ['-D', '-p', 'udp', '--orig-port-dst', `${port}`, '--reply-port-src', `${port}`]);
}

async function conntrack(system: System, args: readonly string[]): Promise<string> {
  try {
    return await system.run(conntrackProgram, args, { timeoutSeconds: listTimeoutSeconds });
  } catch {
    // It ends with 1 when no flow matches.
    return '';
  }
}

/**
 * Returns the port of the host in each line. What stands between the two directions is no answer yet:
 * `dport=5000 [UNREPLIED] src=`.
 */
function flowPorts(listed: string): number[] {
  return [...listed.matchAll(/ dport=(\d+) (?:\[UNREPLIED\] )?src=/g)].map(([, port]) => Number(port));
}
