// `virlan status`: shows networks, machines, addresses, leases and problems.
import type { Values } from '../cli/options.ts';
import { type Cell, print, printJson, style, table } from '../cli/terminal.ts';
import type { MachineStatus, NetworkStatus, Status } from '../report/status.ts';
import { forTerminal } from '../text.ts';
import { currentStatus } from './current-status.ts';

/** Prints the status. Returns the exit code. */
export async function status(options: Values): Promise<number> {
  const collected = await currentStatus(options.config);
  if (options.json) printJson(collected);
  else print(...formatStatus(collected));
  return 0;
}

function formatStatus({ virlan, watcher, networks, notes }: Status): string[] {
  const watching = watcher.running
    ? style(`running, libvirt ${watcher.libvirt}`, 'green')
    : style('not running', 'yellow');
  return [
    `virlan ${virlan}, watcher ${watching}`,
    ...networks.flatMap(network => ['', ...formatNetwork(network)]),
    ...(notes.length === 0 ? [] : ['', ...notes.map(forTerminal)]),
  ];
}

function formatNetwork(network: NetworkStatus): string[] {
  const { name, bridge, subnet, gateway, mode, up, firewall, dnsmasq } = network;
  const { otherFirewalls, otherPorts, problems, machines } = network;
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
    ...problems.map(problem => `  ${style('!', 'yellow')} ${forTerminal(problem)}`),
    ...(machines.length === 0 ? ['  no machines yet'] : formatMachines(machines).map(line => `  ${line}`)),
    ...machines.flatMap(formatAliases),
    ...machines
      .filter(({ problem }) => problem !== null)
      .map(machine => `  ${style('!', 'yellow')} ${shorten(machine)}: ${forTerminal(machine.problem ?? '')}`),
  ];
}

function formatReach({ alsoReached, routeNeeded }: NetworkStatus): string[] {
  return [
    ...(alsoReached.length === 0 ? [] : [`  machines also reach ${alsoReached.map(forTerminal).join(', ')}`]),
    ...(routeNeeded === null ? [] : [`  the router of the LAN needs a route: ${routeNeeded}`]),
  ];
}

/** Returns a line with the further names of a machine, and one for each that it does not have. */
function formatAliases(machine: MachineStatus): string[] {
  const { aliases, refusedAliases } = machine;
  return [
    ...(aliases.length === 0 ? [] : [`  ${shorten(machine)} is also ${aliases.join(', ')}`]),
    ...refusedAliases.map(
      ({ problem }) => `  ${style('!', 'yellow')} ${shorten(machine)}: ${forTerminal(problem)}`,
    ),
  ];
}

/** How this host finds the names of machines, or what helps it to. */
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
  const text = up ? hostNamesTexts[hostNames] : null;
  return text === null ? [] : [`  ${text(domain)}`];
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Forwards have a column where there are any. */
function formatMachines(machines: readonly MachineStatus[]): string[] {
  if (machines.every(({ forwards }) => forwards.length === 0))
    return table(header, machines.map(formatMachine));
  return table(
    [...header, 'FORWARDS'],
    machines.map(machine => [...formatMachine(machine), formatForwards(machine)]),
  );
}

/** Most forwards that are listed of a machine. */
const maxForwards = 3;

function formatForwards({ forwards }: MachineStatus): string {
  if (forwards.length === 0) return '-';
  const active = forwards.filter(each => each.active).map(({ forward }) => forward);
  const more = active.length > maxForwards ? [`${active.length - maxForwards} more`] : [];
  const inactive = forwards.length - active.length;
  const others = inactive > 0 ? [`${inactive} not active`] : [];
  return [...active.slice(0, maxForwards), ...more, ...others].join(', ');
}

const header = ['MACHINE', 'STATE', 'MAC', 'ADDRESS', 'LEASE'];

function formatMachine(machine: MachineStatus): Cell[] {
  const { state, ip, lease } = machine;
  const stateStyle = state === 'running' ? (['green'] as const) : (['dim'] as const);
  const address = ip ?? (lease === null ? '-' : `(${lease.ip})`);
  return [
    shorten(machine),
    { text: state, styles: stateStyle },
    formatMac(machine),
    address,
    formatLease(machine),
  ];
}

/** Names the replaced MAC only until the machine has an address: nobody looks for it by then. */
function formatMac({ mac, replacedMac, state, lease }: MachineStatus): string {
  const isNamed = replacedMac !== null && state !== 'running' && lease === null;
  return isNamed ? `${mac} (was ${replacedMac})` : mac;
}

function formatLease({ ip, lease }: MachineStatus): string {
  if (lease === null) return '-';
  const until = lease.expires === null ? 'for ever' : `until ${lease.expires.slice(11, 16)}Z`;
  return lease.ip === ip || ip === null ? until : `${lease.ip} ${until}`;
}

/** Returns a machine's name, shortened for a column, and the NIC if it is not the first. */
function shorten({ name, nic }: MachineStatus): string {
  const text = forTerminal(name);
  return `${text.length > 22 ? `${text.slice(0, 21)}…` : text}${nic === 0 ? '' : ` (NIC ${nic})`}`;
}
