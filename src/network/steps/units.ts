// Repair units: objects of the host that are repaired, and left alone, as a whole. A fight with another
// program is about a unit, not about a single step.
import type { Family } from '../../address/ip.ts';
import type { BackendName } from '../../firewall/backend.ts';
import type { OtherFirewallName } from '../../other-firewalls/model.ts';
import type { LinkChange } from '../state/state.ts';

export type Unit =
  /** The bridge and all that is configured on it; used while the bridge does not exist. */
  | { readonly kind: 'bridge'; readonly bridge: string }
  /** A link that returns to the bridge, or comes up in it. */
  | { readonly kind: 'port'; readonly link: string }
  | { readonly kind: 'dummy'; readonly link: string }
  | { readonly kind: 'link-attribute'; readonly link: string; readonly attribute: LinkChange['attribute'] }
  | { readonly kind: 'address' | 'route'; readonly link: string; readonly family: Family }
  | { readonly kind: 'sysctl'; readonly key: string }
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'rules';
      readonly backend: BackendName;
      readonly family: Family;
      readonly bridge: string;
    }
  | { readonly kind: 'connections'; readonly bridge: string }
  | { readonly kind: 'guard'; readonly bridge: string }
  /** The link to the other hosts of a cluster, with its filter. */
  | { readonly kind: 'tunnel'; readonly bridge: string }
  /** virlan's part in the configuration of FRR's bgpd, for all networks. */
  | { readonly kind: 'bgp' }
  /** The translations of forwards, which change without the rules. */
  | { readonly kind: 'forwards'; readonly bridge: string }
  | { readonly kind: 'other-firewall'; readonly firewall: OtherFirewallName; readonly bridge: string }
  | { readonly kind: 'reservations' | 'names' | 'host-names'; readonly bridge: string }
  /** The MAC of a machine's NIC in its definition. The machine's name is hostile. */
  | {
      readonly kind: 'mac';
      readonly network: string;
      readonly uuid: string;
      readonly machine: string;
      readonly nic: number;
    }
  /** dnsmasq and its configuration: either changes only together with the other. */
  | { readonly kind: 'dnsmasq'; readonly bridge: string };

/**
 * A unit that was repaired so often that it is left alone: another program fights for it. Times in ms since
 * 1970.
 */
export interface Fight {
  readonly unit: Unit;
  readonly since: number;
  readonly until: number;
}

/**
 * Returns whether a unit is repaired however often others change it: IPv6 that is on again on the bridge, a
 * missing guard, and a tunnel without its filter are ways that no key of virlan.ini allows; without BGP no other host
 * is reached; and forwards change with every machine that starts or stops.
 */
export function isAlwaysRepaired(unit: Unit): boolean {
  if (alwaysRepaired.includes(unit.kind)) return true;
  return unit.kind === 'sysctl' && unit.key.startsWith('net.ipv6.conf.');
}

const alwaysRepaired: readonly Unit['kind'][] = ['guard', 'tunnel', 'bgp', 'forwards'];

/** Returns a text that is equal for equal units, for use as a key. */
export function unitKey(unit: Unit): string {
  return JSON.stringify(Object.entries(unit).sort(([a], [b]) => (a < b ? -1 : 1)));
}
