// The words for reasons why bgpd cannot be configured. Pure.
import { formatIp } from '../../address/ip.ts';
import type { BgpProblem } from '../../cluster/bgp.ts';

/** Describes a problem in one line, with the remedy. */
export function bgpProblemText(problem: BgpProblem): string {
  switch (problem.kind) {
    case 'no-frr':
      return `as = in [cluster] needs FRR, which is not installed: ${bgpRemedy(problem)}`;
    case 'not-running':
      return `${problem.program} of FRR does not run, so no host learns where machines are: ${bgpRemedy(problem)}`;
    case 'unreadable':
      return `bgpd of FRR cannot be asked: ${problem.message}`;
    case 'other-as': {
      const place = problem.isSaved ? '/etc/frr/frr.conf' : 'FRR';
      return `${place} has router bgp ${problem.as}, and [cluster] has as = ${problem.wanted}: a host has one AS: write as = ${problem.as} on all hosts, or remove that router bgp`;
    }
    case 'own-neighbour':
      return `FRR has a neighbor ${formatIp(problem.neighbour)} of its own, without EVPN: ${bgpRemedy(problem)}`;
  }
}

/** Returns the command against a problem; null where the remedy is a decision. */
export function bgpRemedy(problem: BgpProblem): string | null {
  switch (problem.kind) {
    case 'no-frr':
      return `apt install frr && ${startBgpd}`;
    case 'not-running':
      return problem.program === 'bgpd' ? startBgpd : 'systemctl restart frr';
    case 'own-neighbour':
      return `vtysh -c 'configure terminal' -c 'router bgp ${problem.as}' -c 'address-family l2vpn evpn' -c 'neighbor ${formatIp(problem.neighbour)} activate'`;
    case 'unreadable':
    case 'other-as':
      return null;
  }
}

/** Debian and others start bgpd only where this file says so. */
const startBgpd = `sed -i 's/^bgpd=no/bgpd=yes/' /etc/frr/daemons && systemctl restart frr`;
