// Steps for the ports of a bridge: their options, and what it knows of them beside these: static entries of its table
// of MACs, and VLANs. The kernel forgets all of it when a port leaves the bridge, or the bridge is deleted.
import * as v from 'valibot';
import {
  newPortFlags,
  newPortNumbers,
  type PortFlag,
  type PortNumber,
  type PortOptions,
  type PortVlan,
  type StaticEntry,
} from '../state/port-options.ts';
import {
  type DesiredNetwork,
  type DesiredTap,
  guardedPortMask,
  type ObservedNetwork,
  type TapState,
} from '../state/state.ts';
import { type LinkStep, setLink, upOrDown } from './link-steps.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepsOf } from './step-kind.ts';
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
    goal: ({ vlans }) => JSON.stringify(vlans),
    check: ({ link, bridge }) => (link === bridge ? 'bridge' : 'taps'),
    fault: ({ link, vlans }) => `${link} is not in its VLANs, ${vlansText(vlans)}`,
    isOptional: () => true,
  },
};

export function portForms(): Forms<PortFields> {
  const { integer, text } = formParts();
  return {
    'add entry': { link: text, entry: v.object({ mac: text, isSticky: v.boolean() }) },
    'filter vlans': { link: text, defaultVlan: integer },
    'set vlans': {
      link: text,
      bridge: text,
      vlans: v.array(v.object({ vid: integer, isPvid: v.boolean(), isUntagged: v.boolean() })),
    },
  };
}

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

/**
 * Excludes a guest whose bridge has become the root of the spanning tree, and decides for how long new ports wait. The
 * host's bridge no longer hears its BPDUs, and forwards them like other frames (br_handle_frame in
 * net/bridge/br_input.c). What it heard before is forgotten when the port goes down, not only after up to 40 s.
 */
export function planRootPort(
  { excludesGuestRoots }: DesiredNetwork,
  { rootPort }: Pick<ObservedNetwork, 'rootPort'>,
): LinkStep[] {
  if (!excludesGuestRoots || rootPort === null) return [];
  const { name, groupForwardMask: from } = rootPort;
  return [
    ...setLink(name, { attribute: 'group_fwd_mask', from, to: from | 1 }),
    ...setLink(name, { attribute: 'state', from: 'up', to: 'down' }),
    ...setLink(name, { attribute: 'state', from: 'down', to: 'up' }),
  ];
}

/** Plans the taps that are in the bridge or in none. */
export function planTaps(
  { bridge, taps }: DesiredNetwork,
  observed: ObservedNetwork,
): (LinkStep | PortStep)[] {
  return taps.flatMap(tap => {
    const found = observed.taps.find(({ name }) => name === tap.name);
    if (found === undefined || (found.master !== null && found.master !== bridge)) return [];
    return [
      ...setLink(tap.name, { attribute: 'mtu', from: found.mtu, to: tap.mtu }),
      ...setLink(tap.name, { attribute: 'bridge', from: found.master, to: bridge }),
      ...planOptions(found, wantedOptions(tap, found.options)),
      ...(tap.isGuarded ? planGuardedPort(found) : []),
      ...(tap.up ? setLink(tap.name, { attribute: 'state', from: upOrDown(found.up), to: 'up' }) : []),
      ...planReturn(bridge, found),
    ];
  });
}

function planGuardedPort({ name, master, groupForwardMask }: TapState): LinkStep[] {
  const from = master === null ? 0 : groupForwardMask;
  return setLink(name, { attribute: 'group_fwd_mask', from, to: from | guardedPortMask });
}

function wantedOptions({ isolated, hairpin }: DesiredTap, found: PortOptions): PortOptions {
  return {
    ...found,
    ...(isolated ? { isolated } : {}),
    ...(hairpin === 'leave' ? {} : { hairpin: hairpin === 'on' }),
  };
}

/** A port that is new in a bridge has the options of a new port. */
function planOptions({ name, master, options }: TapState, wanted: PortOptions): LinkStep[] {
  const found: PortOptions = master === null ? {} : options;
  return [
    ...(Object.keys(newPortFlags) as PortFlag[]).flatMap(attribute => {
      const from = found[attribute] ?? newPortFlags[attribute];
      return setLink(name, { attribute, from, to: wanted[attribute] ?? from });
    }),
    ...(Object.keys(newPortNumbers) as PortNumber[]).flatMap(attribute => {
      const from = found[attribute] ?? newPortNumbers[attribute];
      return setLink(name, { attribute, from, to: wanted[attribute] ?? from });
    }),
  ];
}

/** Plans what a port had that has left the bridge. */
function planReturn(bridge: string, { name: link, master, vlans, entries }: TapState): PortStep[] {
  if (master !== null) return [];
  return [
    ...(vlans === null ? [] : [{ kind: 'set vlans', link, bridge, vlans } as const]),
    // An entry without a VLAN is one in each of the port's.
    ...entries.map(entry => ({ kind: 'add entry', link, entry }) as const),
  ];
}
