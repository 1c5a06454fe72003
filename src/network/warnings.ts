// Warnings about a network: problems that virlan cannot or must not repair.
import type { Unread } from '../other-firewalls/model.ts';
import type { UnknownChain } from '../other-firewalls/unknown-chains.ts';
import type { Conflict } from './conflicts.ts';

export type NetworkWarning =
  /** Another network of the host overlaps the subnet. */
  | { readonly kind: 'conflict'; readonly conflict: Conflict }
  /** A chain of an unknown program may drop packets of machines. */
  | { readonly kind: 'unknown-chain'; readonly bridge: string; readonly found: UnknownChain }
  /** Something of another firewall could not be read. */
  | { readonly kind: 'unread'; readonly unread: Unread }
  /** dnsmasq keeps its old configuration because it rejects the new one. */
  | { readonly kind: 'dnsmasq-keeps-configuration'; readonly error: Error }
  /** The ledger or the hostsfile is damaged: reservations are left as they are. */
  | { readonly kind: 'reservations-unknown'; readonly error: Error };
