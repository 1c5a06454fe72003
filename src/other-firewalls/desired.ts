import type { Ruleset } from '../firewall/model.ts';
import type { Backend } from '../network/state.ts';
import { foundInDocker, wantedInDocker } from './docker.ts';
import { foundInFirewalld, wantedInFirewalld } from './firewalld.ts';
import { isRule } from './marked-rules.ts';
import type { Firewall, ForeignFirewalls, ForeignRules } from './model.ts';
import { foundInUfw, reload, ufwArguments, wantedInUfw } from './ufw.ts';

/**
 * The least that machines need in the places of others. An accept in a table of virlan's own does not keep another from
 * dropping the packet; its chains of iptables stand before the policies of Docker and ufw, which are iptables' own.
 */
export function wantedForeign(ruleset: Ruleset, backend: Backend, found: ForeignFirewalls): ForeignRules {
  return {
    docker: backend === 'nftables' ? wantedInDocker(ruleset, found) : [],
    ufw: backend === 'nftables' ? wantedInUfw(ruleset, found) : [],
    firewalld: wantedInFirewalld(ruleset.bridge, found),
  };
}

/** A line of `ForeignRules` as the command or the thing that a person knows. */
export function describeLine(firewall: Firewall, line: string): string {
  if (isRule(line)) return `iptables ${line}`;
  return firewall === 'ufw' ? `ufw ${line === reload ? line : ufwArguments(line).join(' ')}` : line;
}

/** What is marked as virlan's in the places of others. */
export function foundForeign(bridge: string, found: ForeignFirewalls): ForeignRules {
  return {
    docker: foundInDocker(bridge, found),
    ufw: foundInUfw(bridge, found),
    firewalld: foundInFirewalld(bridge, found),
  };
}
