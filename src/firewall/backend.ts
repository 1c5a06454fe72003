// The interface of a firewall backend: a program that loads virlan's rules into the kernel. One file
// implements one backend.
import type { Family } from '../address/ip.ts';
import type { System } from '../system/system.ts';
import type { IptablesObject } from './iptables-tables.ts';
import type { Ruleset } from './rule.ts';
import type { RulesReader } from './rules-reader.ts';
import type { Translation, TranslationsChange } from './translation.ts';

/** All backends, in order of preference. */
export const backendNames = ['nftables', 'iptables'] as const;

export type BackendName = (typeof backendNames)[number];

/**
 * The parts of virlan's rules that a kernel may refuse: those of a whole backend; the rule of iptables that fills in
 * checksums, without which a network works for all but old DHCP clients; iptables' table `security`; the guard; the
 * limit of connections for each tap; and the rules that lower the segment size of TCP to what the packets' way carries.
 */
export const lackingParts = [
  ...backendNames,
  'checksum',
  'security',
  'guard',
  'connection-limit',
  'clamp-mss',
] as const;

/** A part of the rules that the kernel has refused. */
export type Lacking = (typeof lackingParts)[number];

/** The place of rules: one bridge and one address family. */
export interface RulesPlace {
  readonly bridge: string;
  readonly family: Family;
}

/** The rules of one place as a script of one backend. */
export interface RulesScript extends RulesPlace {
  readonly backend: BackendName;
  /** `primary`: all rules of the place. `companion`: those that the primary backend cannot express. */
  readonly role: 'primary' | 'companion';
  readonly script: string;
}

/** The rules of virlan that the kernel has in one place. */
export interface Listing {
  /** The rules as the kernel lists them, without counters; none when there are no rules. */
  readonly lines: readonly string[];
  /** The translations of forwards, which come and go without the rules. */
  readonly translations: readonly Translation[];
  /** Rules of others that these come before, and must not. */
  readonly overruled: readonly string[];
}

export interface Backend {
  readonly name: BackendName;
  /** Programs that must be installed. */
  programs(family: Family): readonly string[];
  /** Returns a script that loads the rules on a host that has none of them, without what the kernel lacks. */
  render(ruleset: Ruleset, lacking?: readonly Lacking[]): string;
  /** Returns the scripts that other available backends must load for this one. */
  companions(ruleset: Ruleset, available: readonly BackendName[]): RulesScript[];
  /** Returns the tables and built-in chains of iptables that do not exist yet, and which loading a script makes. */
  missingObjects(
    system: System,
    reader: RulesReader,
    place: RulesPlace,
    script: string,
  ): Promise<readonly IptablesObject[]>;
  /**
   * Returns a script for nft that makes virlan's table with the rules of a script, and fails where the table exists;
   * null for a backend whose rules have no table of their own.
   */
  newTable(place: RulesPlace, script: string): string | null;
  /** Loads a script in one transaction in place of virlan's present rules there. Throws CommandError. */
  load(system: System, reader: RulesReader, place: RulesPlace, script: string): Promise<void>;
  /** Removes virlan's rules. Throws CommandError. */
  remove(system: System, reader: RulesReader, place: RulesPlace): Promise<void>;
  /**
   * Brings the translations from one state to another in one transaction, without a change of the rules, which
   * must exist. Throws CommandError.
   */
  translate(system: System, place: RulesPlace, change: TranslationsChange): Promise<void>;
  /** Lists virlan's own rules and translations. Throws CommandError when a program hangs. */
  list(reader: RulesReader, place: RulesPlace): Promise<Listing>;
  /** Counts the rules, jumps included, in the lines of a script or of a listing. */
  countRules(lines: readonly string[]): number;
  /** Names the place for people: `table ip virlan-k8s-br0`. */
  describePlace(place: RulesPlace): string;
}
