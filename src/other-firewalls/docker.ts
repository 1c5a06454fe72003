import { renderRule } from '../firewall/iptables.ts';
import type { Ruleset } from '../firewall/model.ts';
import { lostJump, markedRules, marking } from './marked-rules.ts';
import { dropsByPolicy, type ForeignFirewalls, isDockerUser, isIptablesBuiltin } from './model.ts';

/**
 * What Docker's own place for rules of others needs, as `iptables-save` writes it. Docker lets nothing be forwarded that
 * no rule accepts (policy DROP), keeps what it finds in DOCKER-USER, and with its backend nftables needs nothing: its
 * chains there speak of its own bridges alone. https://docs.docker.com/engine/network/firewall-iptables/
 */
export function wantedInDocker({ bridge, forward }: Ruleset, found: ForeignFirewalls): string[] {
  const place = findPlace(found);
  if (place === null) return [];
  const accepts = forward
    .filter(rule => rule.verdict === 'accept')
    .flatMap(rule => renderRule(rule, [marking(bridge)]))
    // The order in which `iptables-save` lists states.
    .map(rule => `-A ${place} ${rule.replace('ESTABLISHED,RELATED', 'RELATED,ESTABLISHED')}`);
  return place === 'FORWARD' ? accepts : [...lostJump(bridge, found.iptables, 'FORWARD', place), ...accepts];
}

/** A firewalld that starts takes all chains of Docker's away, and leaves the policy: Docker comes back when it restarts. */
function findPlace({ chains, docker }: ForeignFirewalls): 'DOCKER-USER' | 'FORWARD' | null {
  if (chains.some(isDockerUser)) return 'DOCKER-USER';
  const drops = chains.some(
    chain => isIptablesBuiltin(chain) && chain.hook === 'forward' && dropsByPolicy(chain),
  );
  return docker && drops ? 'FORWARD' : null;
}

export function foundInDocker(bridge: string, { iptables }: ForeignFirewalls): string[] {
  return markedRules(bridge, iptables, /^-A (DOCKER-USER|FORWARD) .* -j (ACCEPT|DOCKER-USER)$/);
}
