// The lines of `virlan status`: networks, machines, addresses, leases and problems. Pure.
import type { PeerAnswer } from '../cluster/peer.ts';
import type { SharedStatus } from '../report/cluster-status.ts';
import type { MachineStatus } from '../report/machines.ts';
import type { NetworkStatus, Status } from '../report/status.ts';
import type { BgpStatus, PeerStatus, TunnelStatus } from '../report/tunnel-fields.ts';
import { forTerminal } from '../text.ts';
import { type Cell, columnsOf, cut, table } from './layout.ts';
import { style } from './terminal.ts';

/**
 * Returns the lines of `virlan status`. Names of machines are shortened only where their table is wider than
 * `columns`.
 */
export function statusLines({ virlan, watcher, networks, notes }: Status, columns: number): string[] {
  return [
    headerLine(virlan, watcherText(watcher)),
    ...networks.flatMap(network => [
      '',
      ...factLines(network),
      ...network.problems.map(problem => `  ${problemLine(problem)}`),
      ...machineLines(network, columns),
      ...machineProblems(network).map(problem => `  ${problemLine(problem)}`),
    ]),
    ...(notes.length === 0 ? [] : ['', ...notes.map(forTerminal)]),
  ];
}

/** Returns the first line: virlan's version, and how its watcher is. */
export function headerLine(virlan: string, watcher: string): string {
  return `virlan ${forTerminal(virlan)}, ${watcher}`;
}

/** Returns how the watcher is. */
export function watcherText({ running, libvirt }: Status['watcher']): string {
  return `watcher ${running ? style(`running, libvirt ${libvirt}`, 'green') : style('not running', 'yellow')}`;
}

/** Returns the lines about a network itself, without its problems. */
export function factLines(network: NetworkStatus): string[] {
  const { name, bridge, subnet, gateway, mode, up, firewall, dnsmasq, otherFirewalls, otherPorts } = network;
  const facts = [
    subnet,
    `gateway ${gateway}`,
    ...(bridge === name ? [] : [`bridge ${bridge}`]),
    mode,
    ...(firewall === null || mode === 'open' ? [] : [firewall]),
    dnsmasq.pid === null ? style('no dnsmasq', 'red') : `dnsmasq ${dnsmasq.pid}`,
  ];
  return [
    `${style(name, 'bold')}  ${up ? style('up', 'green') : style('down', 'red')}  ${facts.join('  ')}`,
    ...formatReach(network),
    ...formatHostNames(network),
    ...otherFirewalls.map(
      ({ name: other, rules }) =>
        `  other firewall ${other}${rules.length === 0 ? '' : `, with ${count(rules.length, 'rule')} of virlan`}`,
    ),
    ...(otherPorts.length === 0 ? [] : [`  other links in ${bridge}: ${forTerminal(otherPorts.join(', '))}`]),
    ...(network.tunnel === null ? [] : tunnelLines(network.tunnel)),
    ...(network.shared === null ? [] : sharedLines(network.shared)),
  ];
}

function tunnelLines({ vni, link, mtu, address, peers, bgp }: TunnelStatus): string[] {
  const size = mtu === null ? style('not there', 'red') : `MTU ${mtu}`;
  const rows = peers.map((peer): Cell[] => [
    peer.address,
    peerCell(peer),
    peer.since ?? '-',
    peer.listed ? 'yes' : { text: 'no', styles: ['red'] },
    `${peer.macs}`,
  ]);
  return [
    `  tunnel ${link}  VNI ${vni}  ${size}  from ${address}`,
    ...table(['HOST', 'ANSWER', 'SINCE', 'LISTED', 'MACS SEEN'], rows).map(line => `    ${line}`),
    ...(bgp === null ? [] : bgpLines(bgp)),
  ];
}

function bgpLines({ as, neighbours }: BgpStatus): string[] {
  const rows = neighbours.map(({ address, session, since, routes }): Cell[] => [
    address,
    { text: session ?? 'not configured', styles: [session === 'established' ? 'green' : 'red'] },
    since ?? '-',
    `${routes}`,
  ]);
  return [
    `  BGP AS ${as}`,
    ...table(['NEIGHBOUR', 'SESSION', 'SINCE', 'ROUTES'], rows).map(line => `    ${line}`),
  ];
}

const answerTexts: Readonly<Record<PeerAnswer, string>> = {
  answers: 'answers',
  'no-route': 'no route',
  silent: 'silent',
  refuses: 'refuses the tunnel',
  'too-large': 'not to large packets',
  unknown: 'size not known',
};

function peerCell({ answer }: PeerStatus): Cell {
  if (answer === null) return { text: 'not asked', styles: ['dim'] };
  const styles = [answer === 'answers' ? 'green' : answer === 'unknown' ? 'dim' : 'red'] as const;
  return { text: answerTexts[answer], styles };
}

function sharedLines({ etcd, freeAddresses, hosts, machines }: SharedStatus): string[] {
  const state =
    etcd === null
      ? style('not asked: no watcher', 'dim')
      : etcd.connected
        ? `${style('connected', 'green')} to ${etcd.endpoint} since ${etcd.since}`
        : `${style('away', 'red')} since ${etcd.since}`;
  const ofHosts = hosts.map(({ address, alive, machines: count }): Cell[] => [
    address,
    alive === null
      ? { text: 'not known', styles: ['dim'] }
      : alive
        ? 'alive'
        : { text: 'away', styles: ['red'] },
    `${count}`,
  ]);
  const ofMachines = machines.map(({ name, ip, hostname, host }): Cell[] => [
    forTerminal(name),
    ip ?? '-',
    hostname,
    host,
  ]);
  return [
    `  etcd ${state}  ${freeAddresses} addresses in reserve`,
    ...(hosts.length === 0
      ? []
      : table(['MEMBER', 'WATCHER', 'MACHINES'], ofHosts).map(line => `    ${line}`)),
    ...(machines.length === 0
      ? []
      : table(['MACHINE ELSEWHERE', 'IP', 'HOSTNAME', 'HOST'], ofMachines).map(line => `    ${line}`)),
  ];
}

/** Returns the table of a network's machines, and their further names. */
export function machineLines({ machines }: NetworkStatus, columns: number): string[] {
  if (machines.length === 0) return ['  no machines yet'];
  return [
    ...machineTable(machines, columns - 2),
    ...machines
      .filter(({ aliases }) => aliases.length > 0)
      .map(machine => `${nameOf(machine)} is also ${machine.aliases.join(', ')}`),
  ].map(line => `  ${line}`);
}

/** Returns the text of each problem of a network's machines, and of each name that one does not have. */
export function machineProblems({ machines }: NetworkStatus): string[] {
  return machines.flatMap(machine => {
    const refused = machine.refusedAliases.map(({ problem }) => problem);
    const all = machine.problem === null ? refused : [...refused, machine.problem];
    return all.map(problem => `${nameOf(machine)}: ${problem}`);
  });
}

/** Returns the line of a problem. Its text may be hostile. */
export function problemLine(text: string): string {
  return `${style('!', 'yellow')} ${forTerminal(text)}`;
}

function formatReach({ alsoReached, routeNeeded }: NetworkStatus): string[] {
  return [
    ...(alsoReached.length === 0 ? [] : [`  machines also reach ${alsoReached.map(forTerminal).join(', ')}`]),
    ...(routeNeeded === null ? [] : [`  the router of the LAN needs a route: ${routeNeeded}`]),
  ];
}

/** The way in which this host finds the names of machines, or what helps it to. */
const hostNamesTexts: Readonly<Record<NetworkStatus['hostNames'], ((domain: string) => string) | null>> = {
  resolved: domain => `this host finds names in ${domain} by systemd-resolved`,
  'network-manager': domain => `this host finds names in ${domain} by the dnsmasq of NetworkManager`,
  nss: () => 'this host finds names of machines by libnss-libvirt',
  'resolved-not-asked': domain =>
    `this host does not find names in ${domain}: link /etc/resolv.conf to /run/systemd/resolve/stub-resolv.conf`,
  'not-found': domain =>
    `this host does not find names in ${domain}: install systemd-resolved or libnss-libvirt`,
  off: null,
};

function formatHostNames({ up, domain, hostNames }: NetworkStatus): string[] {
  const describe = up ? hostNamesTexts[hostNames] : null;
  return describe === null ? [] : [`  ${describe(domain)}`];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** A name is not shortened to less than this: the last columns leave the screen instead. */
const minNameColumns = 12;

/** Returns the table of machines, with names as long as `columns` allows. */
function machineTable(machines: readonly MachineStatus[], columns: number): string[] {
  const longest = Math.max(...machines.map(machine => columnsOf(nameOf(machine))));
  const whole = tableWithNames(machines, longest);
  const excess = Math.max(...whole.map(columnsOf)) - columns;
  return excess <= 0 ? whole : tableWithNames(machines, Math.max(minNameColumns, longest - excess));
}

/** The last columns, which a narrow screen cuts. One is shown if it has a text for some machine. */
const moreColumns: readonly {
  readonly title: string;
  readonly format: (machine: MachineStatus) => string | null;
}[] = [
  { title: 'FORWARDS', format: formatForwards },
  { title: 'REPLACED MAC', format: formatReplacedMac },
];

function tableWithNames(machines: readonly MachineStatus[], nameColumns: number): string[] {
  const more = moreColumns.filter(({ format }) => machines.some(machine => format(machine) !== null));
  return table(
    [...header, ...more.map(({ title }) => title)],
    machines.map(machine => [
      ...formatMachine(machine, nameColumns),
      ...more.map(({ format }) => format(machine) ?? '-'),
    ]),
  );
}

/** Most forwards that are listed of a machine. */
const maxForwards = 3;

function formatForwards({ forwards }: MachineStatus): string | null {
  if (forwards.length === 0) return null;
  const active = forwards.filter(each => each.active).map(({ forward }) => forward);
  const more = active.length > maxForwards ? [`${active.length - maxForwards} more`] : [];
  const inactive = forwards.length - active.length;
  const others = inactive > 0 ? [`${inactive} not active`] : [];
  return [...active.slice(0, maxForwards), ...more, ...others].join(', ');
}

const header = ['MACHINE', 'STATE', 'MAC', 'ADDRESS', 'LEASE'];

function formatMachine(machine: MachineStatus, nameColumns: number): Cell[] {
  const { state, mac, ip, lease } = machine;
  const stateStyle = state === 'running' ? (['green'] as const) : (['dim'] as const);
  const address = ip ?? (lease === null ? '-' : `(${lease.ip})`);
  return [
    shorten(machine, nameColumns),
    { text: state, styles: stateStyle },
    mac,
    address,
    formatLease(machine),
  ];
}

/** Names the MAC that virlan replaced only until the machine has run: nobody looks for it by then. */
function formatReplacedMac({ replacedMac, state, lease }: MachineStatus): string | null {
  return state !== 'running' && lease === null ? replacedMac : null;
}

function formatLease({ ip, lease }: MachineStatus): string {
  if (lease === null) return '-';
  const until = lease.expires === null ? 'infinite' : `until ${lease.expires.slice(11, 16)}Z`;
  return lease.ip === ip || ip === null ? until : `${lease.ip} ${until}`;
}

/** Returns a machine's name, and the NIC if it is not the first. */
function nameOf({ name, nic }: MachineStatus): string {
  return `${forTerminal(name)}${nicText(nic)}`;
}

/** Returns the same with the name shortened, so that both fit into a column. */
function shorten({ name, nic }: MachineStatus, columns: number): string {
  const suffix = nicText(nic);
  return `${cut(forTerminal(name), columns - columnsOf(suffix))}${suffix}`;
}

function nicText(nic: number): string {
  return nic === 0 ? '' : ` (NIC ${nic})`;
}
