// status-builders.ts: values of the status, as `virlan status --json` shows it.
import type { MachineStatus } from '../../src/report/machines.ts';
import type { NetworkStatus, Status } from '../../src/report/status.ts';
import type { WatcherState } from '../../src/watcher/status.ts';
import { mac, uuid } from './builders.ts';

/** Returns a running machine whose address ends with this number. */
export function machineStatus(
  number: number,
  name: string,
  changes: Partial<MachineStatus> = {},
): MachineStatus {
  return {
    name,
    uuid: uuid(number),
    nic: 0,
    mac: mac(number),
    replacedMac: null,
    ip: `192.168.100.${number}`,
    hostname: `m${number}`,
    aliases: [],
    refusedAliases: [],
    state: 'running',
    tap: null,
    lease: null,
    problem: null,
    guard: { mode: 'others', group: null },
    forwards: [],
    ...changes,
  };
}

/** Returns a network that is up. */
export function networkStatus(name: string, ...machines: readonly MachineStatus[]): NetworkStatus {
  return {
    name,
    bridge: name,
    subnet: '192.168.100.0/24',
    gateway: '192.168.100.1',
    mode: 'nat',
    isolate: false,
    alsoReached: [],
    routeNeeded: null,
    up: true,
    firewall: 'nftables',
    domain: `${name}.internal`,
    hostNames: 'off',
    dnsmasq: { running: true, pid: 7 },
    otherFirewalls: [],
    otherPorts: [],
    tunnel: null,
    shared: null,
    problems: [],
    faults: [],
    probe: null,
    machines,
  };
}

/** Returns the status that a watcher reports. */
export function statusOf(...networks: readonly NetworkStatus[]): Status {
  return { virlan: '1', watcher: { running: true, pid: 1, libvirt: 'connected' }, networks, notes: [] };
}

/** A watcher that is well, and has neither probed nor asked anybody yet. */
export const withoutProblems: WatcherState = {
  pid: 812,
  libvirt: 'connected',
  configurationProblem: null,
  usedUpInotify: null,
  metricsProblem: null,
  libvirtProblems: [],
  fights: [],
  failures: [],
  lastProbe: () => null,
  askedPeers: () => [],
  cluster: () => null,
};
