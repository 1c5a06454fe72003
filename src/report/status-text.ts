// The texts for the problems that `virlan status` lists under a network. Pure.
import type { Fix } from '../diagnosis/finding.ts';
import { showsMore, virlanRepairs } from '../diagnosis/words/row.ts';
import { fixFor, seen } from '../diagnosis/words/words.ts';
import { libvirtNetworkProblemText } from '../libvirt-networks/words.ts';
import { describeStep } from '../network/steps/steps.ts';
import { etcdRemedies } from '../shared-ledger/etcd-text.ts';
import { fightText, metricsProblemText } from './log-line.ts';
import type { Fault, NetworkProblem } from './status.ts';
import { warningFix, warningText } from './warning-text.ts';

/** Returns a problem with its text and its command. */
export function describeFault(problem: NetworkProblem): Fault {
  return { code: codeOf(problem), text: networkProblemText(problem), fix: fixOf(problem) };
}

function codeOf(problem: NetworkProblem): Fault['code'] {
  if (problem.kind === 'warning') return problem.warning.kind;
  if (problem.kind !== 'libvirt-network') return problem.kind;
  return problem.problem.kind === 'network-in-use' ? problem.problem.kind : problem.kind;
}

function fixOf(problem: NetworkProblem): Fix | null {
  switch (problem.kind) {
    case 'warning':
      return warningFix(problem.warning);
    case 'not-established':
    case 'drift':
    case 'failed':
      return virlanRepairs();
    case 'probe':
    case 'fight':
    case 'bgp':
      return showsMore('virlan doctor');
    case 'tunnel-dropped':
      return fixFor(problem);
    case 'peer':
      return fixFor(problem.detail);
    case 'etcd':
    case 'no-dummy':
    case 'no-checksum':
    case 'checksum-refused':
    case 'connection-limit-refused':
    case 'clamp-mss-refused':
    case 'security-refused':
    case 'unreadable':
    case 'configuration':
    case 'files-polled':
    case 'libvirt-network':
    case 'metrics-not-served':
      return null;
  }
}

/** Describes a problem in one line, with the remedy. It may contain hostile names. */
export function networkProblemText(problem: NetworkProblem): string {
  switch (problem.kind) {
    case 'warning':
      return warningText(problem.warning);
    case 'not-established':
      return 'not established: "virlan up" does that';
    case 'drift': {
      const changes = problem.steps
        .map(step => describeStep(step))
        .map(({ sign, subject, detail }) => `${sign} ${subject}${detail === '' ? '' : ` ${detail}`}`);
      return `not as it should be, "virlan up" repairs it: ${changes.join('; ')}`;
    }
    case 'no-dummy':
      return 'this kernel has no dummy NICs; the bridge keeps its MAC without one';
    case 'no-checksum':
      return 'iptables, which fills in the checksum of DHCP replies, is not installed: install iptables';
    case 'checksum-refused':
      return 'this kernel refuses the rule of iptables that fills in the checksum of DHCP replies: the network works, but old DHCP clients may not take an address';
    case 'connection-limit-refused':
      return 'this kernel refuses to count TCP connections (nft_connlimit, nft_hash): one machine can use up those to the DNS of the gateway for all';
    case 'clamp-mss-refused':
      return 'this kernel refuses to lower the segment size of TCP (nft_exthdr, xt_TCPMSS): connections of machines may hang where the way to the outside has a smaller MTU than they have';
    case 'security-refused':
      return 'this kernel refuses the table security of iptables: machines reach on this host what a rule of iptables accepts before those of virlan';
    case 'fight':
      return fightText(problem.fight);
    case 'failed':
      return `a repair failed, and is tried again every few seconds: ${problem.error.message}`;
    case 'unreadable':
      return problem.error.message;
    case 'configuration':
      return problem.text;
    case 'files-polled':
      return `inotify is used up: changes of virlan.ini and of dnsmasq's files are noticed after some seconds; raise ${problem.limit}`;
    case 'metrics-not-served':
      return metricsProblemText(problem.problem);
    case 'libvirt-network':
      return libvirtNetworkProblemText(problem.problem);
    case 'tunnel-dropped': {
      const fix = fixFor(problem);
      return `${seen(problem)}${fix === null ? '' : `: ${fix.command}`}`;
    }
    case 'peer':
    case 'bgp':
      return seen(problem.detail);
    case 'etcd':
      return `etcd is away since ${problem.since}, ${etcdRemedies[problem.reason]}: ${problem.message}`;
    case 'probe':
      return `probe at ${problem.at}: ${problem.seen}; see "virlan doctor"`;
  }
}
