// The words for findings about the ways to a machine: its forwards, and its name on the host.
import { formatIp } from '../../address/ip.ts';
import type { ForwardProblem } from '../../forwards/problem.ts';
import { forwardProblemText } from '../../forwards/problem-text.ts';
import { linkSysctl } from '../../network/kernel/sysctl.ts';
import {
  commandAboutTaking,
  commandAgainstDrop,
  forwardDropText,
  forwardTakingText,
} from '../../other-firewalls/forward-rule-text.ts';
import { proposedCommand } from '../../other-firewalls/unknown-chains.ts';
import { shellQuoted } from '../../text.ts';
import type { Detail } from '../details.ts';
import type { Fix } from '../finding.ts';
import type { ReachDetails } from '../reach-details.ts';
import { edit, openConsole } from './machine.ts';
import { repairs, showsMore, type Words } from './row.ts';

export const reachWords: Words<keyof ReachDetails> = {
  'no-forwards': { seen: () => 'it has none' },
  'forwards-active': { seen: ({ forwards }) => forwards.join(', ') },
  'forward-inactive': {
    seen: ({ problem }) => forwardProblemText(problem),
    fix: ({ machine, problem }) => fixOf(problem, machine),
  },
  'forward-unanswered': {
    seen: ({ forward, ip, port, answer }) =>
      answer === 'refused'
        ? `no program of the machine listens on ${formatIp(ip)}:${port}, where ${forward} leads`
        : `${formatIp(ip)}:${port}, where ${forward} leads, does not answer: a firewall in the machine drops it, or its system is down`,
    fix: openConsole,
  },
  'forward-without-lease': {
    seen: ({ forward, ip }) =>
      `nobody has ${formatIp(ip)}, where ${forward} leads: the machine has not asked for its address`,
    fix: openConsole,
  },
  'forward-address-absent': {
    seen: ({ forward, address }) =>
      `${forward} is active, but this host does not have ${formatIp(address)}, so that nobody reaches it there`,
    fix: () => showsMore('ip -4 address show'),
  },
  'forwards-need-conntrack': {
    seen: () => 'active; conntrack is not installed, so that a flow of UDP can outlive its forward',
    fix: () => repairs('apt-get install conntrack'),
  },
  'forwards-kept-out': {
    seen: () => 'firewalld has StrictForwardPorts=yes: it drops connections that virlan forwards',
    fix: () => showsMore('grep StrictForwardPorts /etc/firewalld/firewalld.conf'),
  },
  'forward-dropped': {
    seen: ({ drop }) => forwardDropText(drop),
    fix: ({ drop }) => repairs(commandAgainstDrop(drop)),
  },
  'forward-dropped-by-virlan': {
    seen: ({ drop }) => forwardDropText(drop),
    fix: () => showsMore('virlan plan'),
  },
  'forward-taken': {
    seen: ({ taking }) => forwardTakingText(taking),
    fix: ({ taking }) => showsMore(commandAboutTaking(taking)),
  },
  'forwards-meet-chain': {
    seen: ({ chain: { family, table, name } }) =>
      `active; ${family} ${table} ${name} drops connections of other hosts, unless a rule of its own accepts them`,
    fix: ({ bridge, chain }) => repairs(proposedCommand(bridge, chain)),
  },
  'forwards-meet-reverse-path': {
    seen: ({ link, dropped }) =>
      `active; ${link} has a strict reverse path filter, without a default route: packets from beyond its own subnets are dropped there (${dropped} packets so far on this host)`,
    fix: ({ link }) => repairs(`sysctl -w ${shellQuoted(`${linkSysctl('ipv4', link, 'rp_filter')}=2`)}`),
  },
  'name-found': { seen: ({ name, ip }) => `this host finds ${name}: ${formatIp(ip)}` },
  'name-not-wanted': { seen: () => 'this host does not look for names of machines (names = no)' },
  'name-not-asked': { seen: () => 'it has no name yet' },
  'name-elsewhere': {
    seen: ({ name, ip, found }) =>
      `this host finds ${found.slice(0, maxFound).join(', ')} for ${name}, which is ${formatIp(ip)}`,
    fix: ({ name }) => showsMore(`getent ahostsv4 ${name}`),
  },
  'name-unknown': {
    seen: ({ name, by }) => `this host does not find ${name}: ${reasons[by]}`,
    fix: fixOfName,
  },
};

/** Most addresses that are named. */
const maxFound = 3;

const reasons: Readonly<Record<Detail<'name-unknown'>['by'], string>> = {
  resolved: 'systemd-resolved, which virlan has told, has no answer',
  'network-manager': 'the dnsmasq of NetworkManager, which virlan has told, has no answer',
  nss: 'libnss-libvirt knows machines with a lease only',
  'resolved-not-asked': 'its programs do not ask systemd-resolved, which knows',
  'not-found': 'it has neither systemd-resolved, nor the dnsmasq of NetworkManager, nor libnss-libvirt',
  off: 'names = no',
};

function fixOfName({ name, network, by, hasNssModule }: Detail<'name-unknown'>): Fix | null {
  switch (by) {
    case 'resolved':
      return showsMore(`resolvectl query ${name}`);
    case 'network-manager':
      return repairs('nmcli general reload dns-full');
    case 'nss':
      return showsMore(`virsh net-dhcp-leases -- ${shellQuoted(network)}`);
    case 'resolved-not-asked':
      return repairs('ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf');
    case 'not-found':
      return hasNssModule
        ? repairs("sed -i 's/^hosts:.*files/& libvirt libvirt_guest/' /etc/nsswitch.conf")
        : repairs('apt-get install libnss-libvirt');
    case 'off':
      return null;
  }
}

/** Returns the command about a forward that is not active. */
function fixOf(problem: ForwardProblem, machine: string): Fix {
  switch (problem.kind) {
    case 'busy':
      return showsMore(
        `ss -lnp${problem.forward.protocol === 'tcp' ? 't' : 'u'} 'sport = :${problem.listener.port}'`,
      );
    case 'taken':
      return showsMore(`virlan forward -- ${shellQuoted(problem.by.name)}`);
    case 'of-libvirt':
      return showsMore(`grep ${problem.setting} /etc/libvirt/qemu.conf`);
    case 'mode':
    case 'not-allowed':
    case 'needs-localhost':
      return showsMore('grep -n . /etc/virlan/virlan.ini');
    case 'no-address':
      return showsMore(`virlan doctor --verbose -- ${shellQuoted(machine)}`);
    case 'invalid':
    case 'unequal':
    case 'too-many':
    case 'overlaps':
      return edit({ machine });
  }
}
