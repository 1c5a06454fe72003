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
    const ports = new Set(flowTargets(listed).map(({ port }) => port));
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
 * forward. `own` are the addresses of the host, because a flow to the same port of another host is not the forward's.
 * Failures are ignored.
 */
export async function endUntranslatedUdpFlows(
  system: System,
  translations: readonly Translation[],
  own: readonly string[],
): Promise<void> {
  const udp = translations.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0 || !system.isInstalled(conntrackProgram)) return;
  // conntrack has no filter for a range of ports.
  const listed = await conntrack(system, ['-L', '-p', 'udp']);
  const targets = new Map(flowTargets(listed).map(target => [`${target.address}:${target.port}`, target]));
  for (const { address, port } of targets.values()) {
    const isForwarded = udp.some(
      ({ ports: { first, last }, address: only }) =>
        port >= first && port <= last && (only === null || formatIp(only) === address),
    );
    if (!isForwarded || !own.includes(address)) continue;
    await conntrack(system, [
      ...['-D', '-p', 'udp', '--orig-dst', address, '--orig-port-dst', `${port}`],
      ...['--reply-src', address, '--reply-port-src', `${port}`],
    ]);
  }
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
 * Returns the address and port that the client of each flow sends to. A flow without an answer has a mark between its
 * two directions: `dport=5000 [UNREPLIED] src=`.
 */
function flowTargets(listed: string): { readonly address: string; readonly port: number }[] {
  const flows = listed.matchAll(/ dst=(\S+) sport=\d+ dport=(\d+) (?:\[UNREPLIED\] )?src=/g);
  return [...flows].map(([, address = '', port]) => ({ address, port: Number(port) }));
}
