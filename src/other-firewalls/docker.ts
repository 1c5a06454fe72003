// Docker: drops forwarded packets that no rule accepts (policy DROP of FORWARD) and keeps what it finds in
// its chain DOCKER-USER. https://docs.docker.com/engine/network/firewall-iptables/
import { renderRule } from '../firewall/iptables-rule.ts';
import { changeRules, lostJump, markedRules, marking } from './iptables-rules.ts';
import { type Chain, dropsByPolicy, isIptablesBuiltin, type OtherFirewallsReading } from './model.ts';
import type { OtherFirewall } from './other-firewall.ts';

/** The process of its daemon, and the bridge that outlives it. */
const traces = ['/run/docker.pid', '/sys/class/net/docker0'];

export const docker: OtherFirewall<'docker'> = {
  name: 'docker',
  needsIptables: (_system, chains) =>
    chains.some(chain => isDockerUser(chain) || (isIptablesBuiltin(chain) && dropsByPolicy(chain))),
  read: async system => ({ hasRun: traces.some(system.exists) }),
  isPresent,
  answersFor: (chain, reading) => isIptablesBuiltin(chain) && chain.hook === 'forward' && isPresent(reading),
  wanted({ bridge, family, forward }, backend, reading) {
    // virlan's chains of iptables come before the policy. Docker's nftables backend decides about its own
    // bridges only.
    const place = backend === 'iptables' ? null : findPlace(reading);
    if (place === null) return [];
    const accepts = forward
      .filter(({ verdict }) => verdict.kind === 'accept')
      .flatMap(rule => renderRule(rule, [marking(bridge)], family))
      // `iptables-save` lists states in this order.
      .map(rule => `-A ${place} ${rule.replace('ESTABLISHED,RELATED', 'RELATED,ESTABLISHED')}`)
      .map(rule => ({ kind: 'iptables-rule', rule }) as const);
    const jump = place === 'FORWARD' ? [] : lostJump(bridge, reading.iptables, 'FORWARD', place);
    return [...jump, ...accepts];
  },
  found: (bridge, { iptables }) =>
    markedRules(bridge, iptables, /^-A (DOCKER-USER|FORWARD) .* -j (ACCEPT|DOCKER-USER)$/),
  allow: (system, _bridge, rules) => changeRules(system, rules, []),
  withdraw: (system, _bridge, rules) => changeRules(system, [], rules),
  describe: ({ rule }) => `iptables ${rule}`,
};

function isPresent({ docker: seen, chains }: OtherFirewallsReading): boolean {
  return seen.hasRun || chains.some(isDockerUser);
}

/** firewalld's start removes Docker's chains and leaves the policy; Docker restores them when it restarts. */
function findPlace({ chains, docker: seen }: OtherFirewallsReading): 'DOCKER-USER' | 'FORWARD' | null {
  if (chains.some(isDockerUser)) return 'DOCKER-USER';
  const drops = chains.some(
    chain => isIptablesBuiltin(chain) && chain.hook === 'forward' && dropsByPolicy(chain),
  );
  return seen.hasRun && drops ? 'FORWARD' : null;
}

function isDockerUser({ family, table, name }: Chain): boolean {
  return family === 'ip' && table === 'filter' && name === 'DOCKER-USER';
}
