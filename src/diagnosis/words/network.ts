// The words for findings about one network.
import { formatIp } from '../../address/ip.ts';
import {
  commandThatShowsRefusal,
  detourRemedy,
  detourText,
  outsideRefusalText,
} from '../../network/routes/route-text.ts';
import type { StepCheck } from '../../network/steps/step-kind.ts';
import { modeText } from '../../network/steps/step-text.ts';
import { faultOf } from '../../network/steps/steps.ts';
import { sharedAddressRemedy, sharedAddressText } from '../../network/warnings/address-text.ts';
import { conflictText, obstacleText, removalOf } from '../../network/warnings/obstacle-text.ts';
import { unreadText } from '../../other-firewalls/model.ts';
import { shellQuoted } from '../../text.ts';
import type { NetworkDetails, PortOwner } from '../details.ts';
import type { Fix } from '../finding.ts';
import { commandThatShows } from './drop-remedy.ts';
import { place } from './probe.ts';
import { fixBy, repairs, showsMore, virlanRepairs, type Words } from './row.ts';

/** The consequence for machines when a subject is not as configured. */
const consequences: Readonly<Record<StepCheck, string>> = {
  bridge: 'machines have no network',
  stp: 'a machine that starts waits for its port',
  taps: 'machines are not plugged in',
  settings: 'the network is not as virlan.ini wants it',
  forwarding: 'no packet gets from machines to the outside',
  reservations: 'machines do not get their own addresses',
  dnsmasq: 'machines get no address and no names',
  rules: 'packets of machines are not let through and masqueraded as they should be',
  foreign: 'another firewall does not let machines through',
  tunnel: 'machines of other hosts are not reached',
  bgp: 'hosts do not learn where machines of others are',
};

export const networkWords: Words<keyof NetworkDetails> = {
  'network-unreadable': { seen: ({ message }) => message },
  'subnet-unique': { seen: () => 'nothing else on this host uses it' },
  'subnet-conflict': {
    seen: conflictText,
    fix: conflict => {
      const command = removalOf(conflict);
      return command === null ? showsMore('ip route show table all') : repairs(command);
    },
  },
  'ledger-intact': { seen: () => 'intact' },
  'ledger-damaged': { seen: ({ message }) => `no reservation can be made: ${message}` },
  'macs-unique': { seen: () => 'each machine has its own' },
  'mac-shared': {
    seen: ({ mac, machines }) => {
      const names = machines.map(name => JSON.stringify(name)).join(' and ');
      return `${names} have one MAC, ${mac}: give one of them another`;
    },
    fix: ({ machines }) => showsMore(`virsh edit -- ${shellQuoted(machines.at(-1) ?? '')}`),
  },
  'ss-missing': { seen: () => 'ss is not on this host: install iproute2' },
  'port-free': { seen: () => 'no other program has it' },
  'port-taken': {
    seen: ({ service, bridge, owner }) =>
      `${possession(owner)}: dnsmasq cannot serve ${service} on ${bridge}`,
    fix: showOwner,
  },
  'port-shared': {
    seen: ({ owner }) => `${possession(owner)} too: it may answer machines in dnsmasq's place`,
    fix: showOwner,
  },
  'as-configured': { seen: () => 'as it should be' },
  'not-established': {
    seen: ({ bridge, others }) =>
      `there is no bridge ${bridge}${andMore(others)}: the network is not established`,
    fix: () => virlanRepairs(),
  },
  'bridge-is-uplink': {
    seen: ({ bridge }) => obstacleText({ kind: 'bridge-is-uplink', bridge }),
    fix: () => showsMore('ip route show default'),
  },
  'bridge-of-libvirt': {
    seen: ({ bridge, network }) => obstacleText({ kind: 'bridge-of-libvirt', bridge, network }),
    fix: () => showsMore('virsh net-list --all'),
  },
  'own-mac-unknown': {
    seen: ({ bridge, mac }) =>
      `${bridge} takes no frame to its own ${mac}, as after bridge fdb flush: machines reach neither this host nor the outside`,
    fix: ({ bridge, mac }) => repairs(`bridge fdb add ${mac} dev ${bridge} self local`),
  },
  'lan-port': {
    seen: ({ bridge, link }) =>
      `${link}, which leads to a LAN, is in ${bridge}: clients there get addresses from virlan`,
    fix: ({ link }) => repairs(`ip link set dev ${shellQuoted(link)} nomaster`),
  },
  'address-shared': {
    seen: sharedAddressText,
    fix: shared => repairs(sharedAddressRemedy(shared)),
  },
  'neighbours-right': { seen: () => 'no static entry leads to another MAC than that of a machine' },
  'neighbour-static': {
    seen: ({ ip, mac, owner }) =>
      `a static entry in this host's neighbour table sends packets for ${formatIp(ip)} to ${mac}; ` +
      `the address belongs to ${owner}`,
    fix: ({ bridge, ip }) => repairs(`ip neigh delete ${formatIp(ip)} dev ${bridge}`),
  },
  'link-managed': {
    seen: ({ bridge, link, manager }) =>
      link === bridge
        ? `${manager} manages ${bridge}, though virlan tells it not to, and may take its address and its ports`
        : `${manager} manages ${link}, a port of ${bridge}, and may take it away or give it an address`,
    fix: ({ link, manager }) =>
      manager === 'NetworkManager'
        ? repairs(`nmcli device set ${shellQuoted(link)} managed no`)
        : showsMore(`networkctl status ${shellQuoted(link)}`),
  },
  'plan-step': {
    seen: ({ subject, bridge, step, others }) =>
      `${faultOf(step, bridge)}${andMore(others)}: ${consequences[subject]}`,
    fix: () => virlanRepairs(),
  },
  'dnsmasq-cannot-read': {
    seen: ({ path, isDirectory, mode }) =>
      `dnsmasq cannot ${isDirectory ? 'enter' : 'read'} ${path} (mode ${modeText(mode)}): it gets no new reservations`,
    // For all: the group of dnsmasq may have less than others.
    fix: ({ path, isDirectory }) => repairs(`chmod a+${isDirectory ? 'x' : 'r'} ${shellQuoted(path)}`),
  },
  'forwarding-on': { seen: () => 'on for each link on the way, and on again after a boot' },
  'forwarding-off': {
    seen: ({ key, value }) => `${key} is ${value ?? 'not set'}: no packet gets from machines to the outside`,
    fix: () => virlanRepairs(),
  },
  'forwarding-off-after-boot': {
    seen: ({ path }) => `${path} is not as it should be: forwarding is off after the next boot`,
    fix: () => virlanRepairs(),
  },
  'link-forwarding-off': {
    seen: ({ key }) => `${key} is 0: what comes in there is not forwarded`,
    fix: ({ key }) => repairs(`sysctl -w ${key}=1`),
  },
  'answers-elsewhere': { seen: detourText, fix: detour => fixBy(detourRemedy(detour)) },
  'no-other-policy': { seen: () => 'no other firewall drops by policy' },
  'other-policies': {
    seen: ({ chains }) => {
      const list = chains.map(({ family, table, name }) => `${family} ${table} ${name}`).join(', ');
      return `dropping by policy: ${list}`;
    },
  },
  'other-firewall-unreadable': { seen: unreadText },
  'frames-may-be-dropped': {
    seen: ({ drop }) => `frames from machine to machine may be dropped by ${place(drop)}`,
    fix: ({ drop }) => showsMore(commandThatShows(drop)),
  },
  'forwarding-not-needed': { seen: () => 'not needed with mode = isolated' },
  'uplink-not-allowed': {
    seen: ({ dev, allowed }) =>
      `this host reaches the outside by ${dev}, machines may leave by ${allowed.join(', ')} only`,
    fix: () => showsMore('ip route show default'),
  },
  'uplink-not-asked': { seen: () => 'packets of machines are not forwarded' },
  'outside-refused': {
    seen: outsideRefusalText,
    fix: refusal => showsMore(commandThatShowsRefusal(refusal)),
  },
  'outside-lost': {
    seen: ({ reason }) =>
      `the kernel refuses what machines send to the outside: ${reason}; this host itself has a way there`,
    fix: () => showsMore('ip rule show'),
  },
  'uplink-missing': {
    seen: ({ reason }) => `this host itself has no way to the outside: ${reason}`,
    fix: () => showsMore('ip route show default'),
  },
  'uplink-found': {
    seen: ({ dev, gateway }) =>
      `what machines send to the outside leaves by ${dev}${gateway === null ? '' : ` through ${gateway}`}`,
  },
};

function possession({ program, pid, port, address }: PortOwner): string {
  const name = program === null ? 'another program' : `${program} (process ${pid})`;
  return `${name} has port ${port} of ${address}`;
}

function showOwner({ owner: { pid } }: { readonly owner: PortOwner }): Fix {
  return showsMore(pid === null ? 'ss -lunp' : `systemctl status ${pid}`);
}

function andMore(others: number): string {
  return others === 0 ? '' : ` (and ${others} more)`;
}
