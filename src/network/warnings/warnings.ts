// Warnings about a network: problems that virlan cannot or must not repair.
import type { Ipv4 } from '../../address/ip.ts';
import type { Lacking } from '../../firewall/backend.ts';
import type { RefusedForward } from '../../forwards/problem.ts';
import type { InvalidWish } from '../../guard/wishes.ts';
import type { RefusedEntry } from '../../libvirt/dns-entries.ts';
import type { LibvirtNetwork } from '../../libvirt/network-xml.ts';
import type { ForwardDrop, ForwardTaking } from '../../other-firewalls/forward-rules.ts';
import type { Unread } from '../../other-firewalls/model.ts';
import type { UnknownChain } from '../../other-firewalls/unknown-chains.ts';
import type { UnreadRules } from '../kernel/read-kernel.ts';
import type { OutsideRefusal } from '../routes/outside-refusal.ts';
import type { Detour } from '../routes/return-path.ts';
import type { Obstacle } from './conflicts.ts';
import type { SharedAddress } from './shared-addresses.ts';

export type NetworkWarning =
  | Obstacle
  /** Packets to machines do not leave by the bridge, because of a rule of routing. */
  | { readonly kind: 'detour'; readonly detour: Detour }
  /** A rule of routing refuses what machines send to the outside, and not what the host sends. */
  | { readonly kind: 'outside-refused'; readonly refusal: OutsideRefusal }
  /** No link of the host has the address of `[cluster]`. */
  | { readonly kind: 'underlay-missing'; readonly address: Ipv4 }
  /** The kernel has IPv6, and the backend's program for it is not installed. */
  | { readonly kind: 'ipv6-unfiltered'; readonly bridge: string }
  /** The bridge has an IPv6 address that somebody else gave it. */
  | { readonly kind: 'ipv6-address'; readonly bridge: string }
  /** A link in the bridge leads to a LAN, whose clients get addresses of the network. */
  | { readonly kind: 'lan-port'; readonly bridge: string; readonly link: string }
  /** A tap of a machine is in another bridge than libvirt has put it into. All names but `bridge` are hostile. */
  | {
      readonly kind: 'tap-in-other-bridge';
      readonly bridge: string;
      readonly machine: string;
      readonly tap: string;
      readonly found: string;
    }
  /** The host has an address that is reserved for a machine. */
  | { readonly kind: 'address-shared'; readonly shared: SharedAddress }
  /** libvirt's network of the same name leads elsewhere. Its forward mode and its bridge are hostile. */
  | { readonly kind: 'name-of-libvirt'; readonly bridge: string; readonly other: LibvirtNetwork }
  /** Something that libvirt has accepted for the DNS of a network, and that is not served. */
  | { readonly kind: 'libvirt-dns'; readonly entry: RefusedEntry }
  /** The modules of the running kernel were removed by an upgrade: what is not loaded cannot be loaded. */
  | { readonly kind: 'kernel-replaced'; readonly release: string }
  /** A chain of an unknown program may drop packets of machines. */
  | { readonly kind: 'unknown-chain'; readonly bridge: string; readonly found: UnknownChain }
  /** A rule of another program drops packets of a forward. */
  | { readonly kind: 'forward-dropped'; readonly drop: ForwardDrop }
  | { readonly kind: 'forward-taken'; readonly taking: ForwardTaking }
  /** The kernel refused rules, and the network was established without them. */
  | { readonly kind: 'rules-refused'; readonly part: Lacking; readonly error: Error }
  /** Something of another firewall could not be read. */
  | { readonly kind: 'unread'; readonly unread: Unread }
  /** systemd-networkd manages the bridge, so systemd-resolved cannot be told of it. */
  | { readonly kind: 'resolved-managed'; readonly bridge: string }
  /** systemd-resolved runs and does not answer. */
  | { readonly kind: 'resolved-silent'; readonly error: Error }
  /** dnsmasq keeps its old configuration because it rejects the new one. */
  | { readonly kind: 'dnsmasq-keeps-configuration'; readonly error: Error }
  /** The host goes on to forward: whether it did so before virlan was not recorded. */
  | { readonly kind: 'forwarding-stays' }
  /** A record could not be written: of the state before virlan, or of virlan's own changes. */
  | { readonly kind: 'not-recorded'; readonly error: Error }
  /** A network was taken down, and a record could not be removed, or written. */
  | { readonly kind: 'record-left'; readonly error: Error }
  /** nft, without which no machine is guarded, is not installed. */
  | { readonly kind: 'guard-needs-nft'; readonly bridge: string }
  /** The kernel refused the guard of a network when it was loaded first. */
  | { readonly kind: 'guard-refused'; readonly bridge: string }
  /** A part of a machine's metadata is not valid. The machine's name is hostile. */
  | { readonly kind: 'guard-metadata'; readonly machine: string; readonly wish: InvalidWish }
  /** A tap of a machine is not guarded, because of its name. Both names are hostile. */
  | { readonly kind: 'guard-tap-name'; readonly machine: string; readonly tap: string }
  /** A forward of a machine is not active. */
  | { readonly kind: 'forward-refused'; readonly refused: RefusedForward }
  /** The ledger or the hostsfile is damaged: reservations are left as they are. */
  | { readonly kind: 'reservations-unknown'; readonly error: Error };

/** Returns the warnings that a program of virlan's own rules did not answer. */
export function unreadRulesWarnings(unread: readonly UnreadRules[]): NetworkWarning[] {
  return unread.map(({ rules, error }) => ({
    kind: 'unread',
    unread: { subject: rules === 'iptables' ? 'iptables' : 'chains', error },
  }));
}

/** Returns warnings of two parts. What neither could read is named once, with the first reason. */
export function joinWarnings(
  first: readonly NetworkWarning[],
  second: readonly NetworkWarning[],
): NetworkWarning[] {
  const silent = first.flatMap(each => (each.kind === 'unread' ? [each.unread.subject] : []));
  const isNew = (each: NetworkWarning) => each.kind !== 'unread' || !silent.includes(each.unread.subject);
  return [...first, ...second.filter(isNew)];
}
