// Aliases that a machine asks for and does not get.
import type { AliasFault } from '../names/alias.ts';
import type { Holder } from './problem.ts';

export type AliasRefusal =
  /** See names/alias.ts; or it is the name of the host, of a fixed host, or one more than a machine may have. */
  | { readonly reason: AliasFault | 'host-name' | 'fixed' | 'too-many' }
  /** Another NIC has the name. */
  | { readonly reason: 'taken'; readonly holder: Holder };

/** The alias as its owner wrote it: hostile. */
export type RefusedAlias = { readonly alias: string } & AliasRefusal;
