import { renderRule } from '../firewall/iptables.ts';
import type { Ruleset } from '../firewall/model.ts';
import { lostJump, markedRules, marking } from './filter.ts';
import { type ForeignFirewalls, isDockerUser } from './found.ts';

/**
 * What Docker's own place for rules of others needs, as `iptables-save` writes it. Docker lets nothing be forwarded that
 * no rule accepts (policy DROP), keeps what it finds in DOCKER-USER, and with its backend nftables needs nothing: its
 * chains there speak of its own bridges alone. https://docs.docker.com/engine/network/firewall-iptables/
 */
export function wantedInDocker({ bridge, forward }: Ruleset, found: ForeignFirewalls): string[] {
  if (!found.chains.some(isDockerUser)) return [];
  const accepts = forward
    .filter(rule => rule.verdict === 'accept')
    .flatMap(rule => renderRule(rule, [marking(bridge)]))
    // The order in which `iptables-save` lists states.
    .map(rule => `-A DOCKER-USER ${rule.replace('ESTABLISHED,RELATED', 'RELATED,ESTABLISHED')}`);
  return [...lostJump(bridge, found.iptables, 'FORWARD', 'DOCKER-USER'), ...accepts];
}

export function foundInDocker(bridge: string, { iptables }: ForeignFirewalls): string[] {
  return markedRules(bridge, iptables, /^-A (DOCKER-USER .* -j ACCEPT|FORWARD .* -j DOCKER-USER)$/);
}
