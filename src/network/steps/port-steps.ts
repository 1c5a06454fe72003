// Steps for what a bridge knows of its ports beside their options: static entries of its table of MACs, and VLANs.
// The kernel forgets both when a port leaves the bridge, or the bridge is deleted.
import type { PortVlan, StaticEntry } from '../state/port-options.ts';
import type { DesiredNetwork, ObservedNetwork, TapState } from '../state/state.ts';
import type { Kinds, StepsOf } from './step-kind.ts';
import { line } from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind. */
export interface PortFields {
  'add entry': { readonly link: string; readonly entry: StaticEntry };
  /** Makes a new bridge keep VLANs apart. A port that enters it is in the VLAN `defaultVlan`; 0: in none. */
  'filter vlans': { readonly link: string; readonly defaultVlan: number };
  /** Puts a port, or the bridge itself, into these VLANs and no others. */
  'set vlans': { readonly link: string; readonly bridge: string; readonly vlans: readonly PortVlan[] };
}

type PortStep = StepsOf<PortFields>;

export const portKinds: Kinds<PortFields> = {
  'add entry': {
    describe: ({ link, entry }) => line('+', `static entry of ${link}`, entry.mac),
    unit: ({ link }) => ({ kind: 'port', link }),
    goal: ({ entry }) => `+ ${entry.mac}`,
    check: () => 'taps',
    fault: ({ link, entry }) => `the bridge does not know that ${entry.mac} is behind ${link}`,
    isOptional: () => true,
  },
  'filter vlans': {
    describe: ({ link }) => line('~', link, 'keeps VLANs apart'),
    unit: ({ link }) => ({ kind: 'bridge', bridge: link }),
    goal: ({ defaultVlan }) => `VLANs apart, ${defaultVlan}`,
    check: () => 'bridge',
    fault: ({ link }) => `${link} does not keep VLANs apart`,
    isOptional: () => true,
  },
  'set vlans': {
    describe: ({ link, vlans }) => line('~', `VLANs of ${link}`, vlansText(vlans)),
    unit: ({ link, bridge }): Unit => (link === bridge ? { kind: 'bridge', bridge } : { kind: 'port', link }),
    goal: ({ vlans }) => `VLANs ${vlansText(vlans)}`,
    check: ({ link, bridge }) => (link === bridge ? 'bridge' : 'taps'),
    fault: ({ link, vlans }) => `${link} is not in its VLANs, ${vlansText(vlans)}`,
    isOptional: () => true,
  },
};

/** Returns `1 PVID untagged, 10, 20`. */
function vlansText(vlans: readonly PortVlan[]): string {
  const texts = vlans.map(({ vid, isPvid, isUntagged }) =>
    [String(vid), ...(isPvid ? ['PVID'] : []), ...(isUntagged ? ['untagged'] : [])].join(' '),
  );
  return texts.length === 0 ? 'none' : texts.join(', ');
}

/** Plans the VLANs of a bridge that is made again: before a port enters it. */
export function planBridgeVlans(
  { bridge }: DesiredNetwork,
  { link, bridgeVlans }: ObservedNetwork,
): PortStep[] {
  if (link !== null || bridgeVlans === null) return [];
  const { defaultVlan, own } = bridgeVlans;
  return [
    { kind: 'filter vlans', link: bridge, defaultVlan },
    { kind: 'set vlans', link: bridge, bridge, vlans: own },
  ];
}

/** Plans what a port had that has left the bridge. */
export function planReturn(bridge: string, { name: link, master, vlans, entries }: TapState): PortStep[] {
  if (master !== null) return [];
  return [
    ...(vlans === null ? [] : [{ kind: 'set vlans', link, bridge, vlans } as const]),
    // An entry without a VLAN is one in each of the port's.
    ...entries.map(entry => ({ kind: 'add entry', link, entry }) as const),
  ];
}
