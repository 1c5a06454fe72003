// The interface to a firewall of another program. An accept in virlan's own table does not keep the chain of
// another program from dropping a packet, so machines need rules in that program's firewall too. One file
// implements one program.
import type { BackendName } from '../firewall/backend.ts';
import type { Ruleset } from '../firewall/rule.ts';
import type { System } from '../system/system.ts';
import type { Chain, OtherFirewallName, OtherFirewallsReading, RuleOf } from './model.ts';

/** The readings of the kernel, which precede those of the program. */
export type KernelReading = Pick<OtherFirewallsReading, 'chains' | 'iptables'>;

export interface OtherFirewall<Name extends OtherFirewallName> {
  readonly name: Name;
  /** Returns whether the listing of iptables has to be read, given the chains that nft lists. */
  needsIptables(system: System, chains: readonly Chain[]): boolean;
  /**
   * Reads the program's files and asks it. `unread` is called when it does not answer; the rest is returned
   * then.
   */
  read(
    system: System,
    bridge: string,
    kernel: KernelReading,
    unread: (error: Error) => void,
  ): Promise<OtherFirewallsReading[Name]>;
  /** Returns whether the program takes part in this host's packets. Its rules may outlive it. */
  isPresent(reading: OtherFirewallsReading): boolean;
  /** Returns whether virlan's rules in the program's firewall override the policy of this chain. */
  answersFor(chain: Chain, reading: OtherFirewallsReading): boolean;
  /** Returns the rules that machines need in the program's firewall. */
  wanted(ruleset: Ruleset, backend: BackendName, reading: OtherFirewallsReading): RuleOf<Name>[];
  /** Returns the rules there that carry virlan's mark. */
  found(bridge: string, reading: OtherFirewallsReading): RuleOf<Name>[];
  /** Adds rules, at once and permanently. Throws when the program refuses them. */
  allow(system: System, bridge: string, rules: readonly RuleOf<Name>[]): Promise<void>;
  /** Removes rules, whether the program runs or not. */
  withdraw(system: System, bridge: string, rules: readonly RuleOf<Name>[]): Promise<void>;
  /** Returns a rule as the command or object that an administrator knows. */
  describe(rule: RuleOf<Name>): string;
}
