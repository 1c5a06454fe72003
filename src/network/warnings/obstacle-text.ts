// The words for reasons not to establish a network. Pure.
import { formatPrefix } from '../../address/ip.ts';
import type { Conflict, Obstacle } from './conflicts.ts';

/** Describes an obstacle in one line, with the remedy. */
export function obstacleText(obstacle: Obstacle): string {
  switch (obstacle.kind) {
    case 'conflict':
      return conflictText(obstacle.conflict);
    case 'bridge-is-uplink':
      return `${obstacle.bridge} is this host's own way to the outside, and virlan's network would take it over: choose another bridge in virlan.ini`;
    case 'bridge-of-libvirt':
      return `${obstacle.bridge} is the bridge of libvirt's network ${JSON.stringify(obstacle.network)}: stop that network, or choose another bridge in virlan.ini`;
  }
}

/** Describes a conflict in one line, with the remedy. */
export function conflictText({ network, other, made }: Conflict): string {
  const link = other.link === null ? 'a route without a link' : other.link;
  const place = other.by === 'route' && other.link !== null ? `a route on ${link}` : link;
  const removal = removalOf({ made });
  if (removal !== null)
    return `subnet ${formatPrefix(network.subnet)} overlaps that of ${link}, a network that virlan made by an earlier virlan.ini: ${removal} removes it`;
  const remedy = `choose another subnet for [network.${network.name}] in virlan.ini, or remove the other one`;
  return `subnet ${formatPrefix(network.subnet)} overlaps ${formatPrefix(other.subnet)} of ${place}: ${remedy}`;
}

/** Returns the command that removes a conflicting network of virlan's; null where it is another program's. */
export function removalOf({ made }: Pick<Conflict, 'made'>): string | null {
  return made === null ? null : `virlan down ${made}`;
}
