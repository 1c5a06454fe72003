// The words for findings about the tunnel to the other hosts of a cluster, and about these.
import { formatIp } from '../../address/ip.ts';
import { bgpPort, vxlanPort } from '../../address/port.ts';
import { bgpProblemText, bgpRemedy } from '../../network/steps/bgp-text.ts';
import { commandAgainstTunnelDrop, tunnelDropText } from '../../other-firewalls/tunnel-drop-text.ts';
import { largePing } from '../large-ping.ts';
import type { PacketLimit, PeerDetails } from '../peer-details.ts';
import { repairs, showsMore, type Words } from './row.ts';

export const peerWords: Words<keyof PeerDetails> = {
  'tunnel-in-force': { seen: ({ link }) => `${link} is as it should be, and no rule drops its packets` },
  'underlay-missing': {
    seen: ({ address }) =>
      `no link has ${formatIp(address)}, the address of [cluster]: machines of other hosts are not reached: give it to a link, or correct virlan.ini`,
    fix: () => showsMore('ip -brief address show'),
  },
  'tunnel-dropped': {
    seen: ({ drop }) => tunnelDropText(drop),
    fix: ({ drop }) => repairs(commandAgainstTunnelDrop(drop)),
  },
  'peer-answers': {
    seen: ({ peer, bytes, macs }) => `${formatIp(peer)} answers packets of ${bytes} bytes; ${macsText(macs)}`,
  },
  'peer-without-route': {
    seen: ({ peer }) => `this host has no route to ${formatIp(peer)}: machines there are not reached`,
    fix: () => showsMore('ip route show'),
  },
  'peer-silent': {
    seen: ({ peer }) =>
      `${formatIp(peer)} does not answer: the host, or the way to it, is down, and machines there are not reached`,
    fix: ({ peer }) => showsMore(`ping -n -c 3 ${formatIp(peer)}`),
  },
  'peer-refuses': {
    seen: ({ peer }) =>
      `${formatIp(peer)} refuses packets to UDP port ${vxlanPort}: it has no tunnel, or a firewall rejects them: type "virlan doctor" there`,
  },
  'peer-needs-smaller-packets': {
    seen: limit =>
      `${formatIp(limit.peer)} answers, but not to packets of ${limit.bytes} bytes, the largest of this tunnel: large packets of machines are lost or fragmented: ${limitRemedy(limit)}`,
    fix: ({ peer, bytes }) => showsMore(['ping', ...largePing(formatIp(peer), bytes)].join(' ')),
  },
  'bgp-not-configured': {
    seen: ({ problem }) => bgpProblemText(problem),
    fix: ({ problem }) => repairs(bgpRemedy(problem)),
  },
  'bgp-established': {
    seen: ({ neighbour, routes }) =>
      `the session with ${formatIp(neighbour)} is established; ${routes} ${routes === 1 ? 'route has' : 'routes have'} come from there`,
  },
  'bgp-without-route': {
    seen: ({ neighbour }) =>
      `no session with ${formatIp(neighbour)}: this host has no route to it: ${unlearnt}`,
    fix: () => showsMore('ip route show'),
  },
  'bgp-silent': {
    seen: ({ neighbour }) =>
      `no session with ${formatIp(neighbour)}: the host, or the way to it, is down: ${unlearnt}`,
    fix: ({ neighbour }) => showsMore(`ping -n -c 3 ${formatIp(neighbour)}`),
  },
  'bgp-refused': {
    seen: ({ neighbour }) =>
      `no session with ${formatIp(neighbour)}: it refuses connections to TCP port ${bgpPort}: bgpd does not run there, or a firewall rejects them: type "virlan doctor" there: ${unlearnt}`,
  },
  'bgp-blocked': {
    seen: ({ neighbour }) =>
      `no session with ${formatIp(neighbour)}: it answers, but not at TCP port ${bgpPort}: a firewall here or there drops connections: ${unlearnt}`,
    fix: ({ neighbour }) => showsMore(`nc -v -w 3 ${formatIp(neighbour)} ${bgpPort}`),
  },
  'bgp-other-as': {
    seen: ({ neighbour, as }) =>
      `no session with ${formatIp(neighbour)}: one of both has another AS than the other expects: write as = ${as} in [cluster] there, too: ${unlearnt}`,
    fix: ({ neighbour }) => showsMore(`vtysh -c 'show bgp neighbors ${formatIp(neighbour)}'`),
  },
  'bgp-same-identifier': {
    seen: ({ neighbour }) =>
      `no session with ${formatIp(neighbour)}: it has the identifier of this host: write another bgp router-id there: ${unlearnt}`,
    fix: () => showsMore("vtysh -c 'show bgp summary'"),
  },
  'bgp-not-established': {
    seen: ({ neighbour, state }) =>
      `no session with ${formatIp(neighbour)}, whose state is ${state}: ${unlearnt}`,
    fix: ({ neighbour }) => showsMore(`vtysh -c 'show bgp neighbors ${formatIp(neighbour)}'`),
  },
  'peer-size-unknown': {
    seen: ({ peer }) =>
      `${formatIp(peer)} answers; without ping it is not known whether large packets arrive: install iputils-ping`,
  },
};

/** The consequence of a session that is not there. */
const unlearnt = 'nothing is learned from it about where machines are';

/** Says how many senders were seen. None means nothing: perhaps no machine runs there. */
function macsText(macs: number): string {
  if (macs === 0) return 'no frame has come from there in the last minutes';
  return `frames of ${macs} ${macs === 1 ? 'MAC' : 'MACs'} have come from there in the last minutes`;
}

function limitRemedy({ network, mtu }: PacketLimit): string {
  const lower = mtu === null ? 'lower mtu' : `set mtu = ${mtu}`;
  return `raise the MTU between the hosts, or ${lower} in [network.${network}] on all of them`;
}
