// The subjects of findings and decisions. words/subject-text.ts names them.
import type { Mac } from '../address/mac.ts';

/** A machine's name is hostile. */
export type Subject =
  | { readonly kind: 'host' }
  | { readonly kind: 'network'; readonly name: string }
  | { readonly kind: 'machine'; readonly name: string }
  /** One of several NICs of a machine. */
  | { readonly kind: 'nic'; readonly machine: string; readonly nic: number; readonly mac: Mac }
  /** `nic` counts the machine's NICs on the network. */
  | {
      readonly kind: 'nic-on-network';
      readonly machine: string;
      readonly nic: number;
      readonly network: string;
    };
