// Reads which VLANs the ports of a bridge are in, where it keeps them apart. Pure.
//
//   [{"ifname": "vnet0", "vlans": [{"vlan": 10, "flags": ["PVID", "Egress Untagged"]}, {"vlan": 20}]}, …]
import type { PortVlan } from '../state/port-options.ts';

/** The VLANs of a bridge that keeps them apart. */
export interface BridgeVlans {
  /** The VLAN that a new port is in; 0 for none. */
  readonly defaultVlan: number;
  /** By link, the bridge itself included. */
  readonly byLink: ReadonlyMap<string, readonly PortVlan[]>;
}

interface LinkVlans {
  readonly ifname?: string;
  readonly vlans?: readonly {
    readonly vlan?: number;
    readonly vlanEnd?: number;
    readonly flags?: string[];
  }[];
}

/** Reads `bridge -json vlan show`, which lists the ports of all bridges. */
export function parseVlans(output: string): Map<string, PortVlan[]> {
  const links = JSON.parse(output || '[]') as LinkVlans[];
  return new Map(
    links.map(({ ifname = '', vlans = [] }) => [
      ifname,
      vlans.flatMap(({ vlan = 0, vlanEnd = vlan, flags = [] }) =>
        Array.from({ length: vlanEnd - vlan + 1 }, (_, offset) => ({
          vid: vlan + offset,
          isPvid: flags.includes('PVID'),
          isUntagged: flags.includes('Egress Untagged'),
        })),
      ),
    ]),
  );
}

/** VLANs of one link with numbers in a row and the same options. Only one VLAN of a link has the option PVID. */
interface Range extends Omit<PortVlan, 'vid'> {
  readonly first: number;
  readonly last: number;
}

/**
 * Returns the arguments of `bridge` that put a port of a bridge, or the bridge itself, into some VLANs and out of all
 * others, a list for each process.
 */
export function vlanCommands(
  link: string,
  bridge: string,
  found: readonly PortVlan[],
  wanted: readonly PortVlan[],
): string[][] {
  const place = ['dev', link, ...(link === bridge ? ['self'] : [])];
  const surplus = found.filter(({ vid }) => !wanted.some(other => other.vid === vid));
  return [
    ...rangesOf(surplus).map(range => ['vlan', 'delete', 'vid', vidsOf(range), ...place]),
    ...rangesOf(wanted).map(range => [
      ...['vlan', 'add', 'vid', vidsOf(range), ...place],
      ...(range.isPvid ? ['pvid'] : []),
      ...(range.isUntagged ? ['untagged'] : []),
    ]),
  ];
}

function rangesOf(vlans: readonly PortVlan[]): Range[] {
  const ranges: Range[] = [];
  for (const { vid, ...options } of [...vlans].sort((a, b) => a.vid - b.vid)) {
    const before = ranges.at(-1);
    const isNext = before?.last === vid - 1 && before.isUntagged === options.isUntagged;
    if (isNext && !before.isPvid && !options.isPvid) ranges.splice(-1, 1, { ...before, last: vid });
    else ranges.push({ first: vid, last: vid, ...options });
  }
  return ranges;
}

function vidsOf({ first, last }: Range): string {
  return first === last ? String(first) : `${first}-${last}`;
}
