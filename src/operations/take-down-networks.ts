// Takes networks down, also those that are no longer in virlan.ini.
import type { NetworkConfig } from '../config/config.ts';
import { clearProbeNamespace } from '../diagnosis/probe/probe.ts';
import { VirlanError } from '../errors.ts';
import { withNetworkLock } from '../network/establish.ts';
import type { Established } from '../network/established.ts';
import { readOriginalState } from '../network/records/original-state.ts';
import { takeDown, type Unmarked } from '../network/restore.ts';
import { changeEvents } from '../report/network-events.ts';
import { writeEvents } from './write-events.ts';

/** A network by its name and bridge. */
export type NetworkId = Pick<NetworkConfig, 'name' | 'bridge'>;

/**
 * Takes networks down one after the other, and writes to the log what was done. Throws at the first that
 * fails.
 */
export async function takeDownNetworks(
  networks: readonly NetworkId[],
  unmarked: Unmarked,
): Promise<(NetworkId & Established)[]> {
  const results = await withNetworkLock(async () => {
    const down = [];
    for (const { name, bridge } of networks)
      down.push({ name, bridge, ...(await takeDown(name, bridge, unmarked)) });
    return down;
  });
  await clearProbeNamespace();
  await writeEvents(results.flatMap(result => changeEvents(result, 'network-taken-down', result)));
  return results;
}

/**
 * Returns the networks of these names, or all that virlan knows: those that it established, and those that
 * are configured. Throws VirlanError for an unknown name.
 */
export function selectKnownNetworks(
  configured: readonly NetworkConfig[],
  names: readonly string[],
): NetworkId[] {
  const established = Object.entries(readOriginalState()?.networks ?? {});
  const known = new Map(established.map(([bridge, { name }]) => [name, bridge]));
  for (const { name, bridge } of configured) if (!known.has(name)) known.set(name, bridge);
  const chosen = names.length === 0 ? [...known.keys()] : names;
  return chosen.map(name => {
    const bridge = known.get(name);
    if (bridge !== undefined) return { name, bridge };
    const message = `network ${JSON.stringify(name)} does not exist: known are ${[...known.keys()].join(', ')}`;
    throw new VirlanError('unknown-network', message);
  });
}
