// Reads the status that `virlan status` shows from the kernel and from files, without calls to libvirt.
import type { Config, NetworkConfig } from '../config/config.ts';
import { readLeases } from '../dnsmasq/lease-file.ts';
import type { Lease } from '../dnsmasq/leases.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { readLedger } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { readRemovedDefaultFates } from '../libvirt-networks/arrange.ts';
import { defaultFateText } from '../libvirt-networks/words.ts';
import { recordedNetwork } from '../network/records/original-state.ts';
import { surveyHost } from '../network/survey-host.ts';
import { surveyNetwork } from '../network/survey-network.ts';
import { otherFirewallNames } from '../other-firewalls/model.ts';
import { describeRules, presentFirewalls } from '../other-firewalls/registry.ts';
import type { SharedStatus } from '../report/cluster-status.ts';
import { type MachineSources, machinesOf } from '../report/machines.ts';
import { findProblems } from '../report/network-problems.ts';
import {
  describeSubnet,
  formatRoute,
  type NetworkProblem,
  type NetworkStatus,
  type Status,
} from '../report/status.ts';
import { describeFault } from '../report/status-text.ts';
import { sessionProblems, tunnelStatus } from '../report/tunnel-status.ts';
import { version } from '../version.ts';

/** Holds what was read, or nothing and the error. */
interface Reading<T> {
  readonly value: T;
  readonly error: Error | null;
}

/**
 * Reads the status. A ledger or leases that cannot be read are a problem of the network; the rest is shown.
 */
export async function collectStatus(config: Config): Promise<Status> {
  const entries = readOr<readonly LedgerEntry[]>(() => readLedger().present(), []);
  const domains = { defined: definedDomains(), running: runningDomains() };
  const networks: NetworkStatus[] = [];
  for (const network of config.networks) networks.push(await collectNetwork(network, entries, domains));
  const notes = readRemovedDefaultFates(config).map(defaultFateText);
  return { virlan: version, watcher: { running: false, pid: null, libvirt: 'unknown' }, networks, notes };
}

async function collectNetwork(
  network: NetworkConfig,
  ledger: Reading<readonly LedgerEntry[]>,
  domains: Pick<MachineSources, 'defined' | 'running'>,
): Promise<NetworkStatus> {
  const { name, bridge } = network;
  const survey = await surveyNetwork(network);
  const { observed, otherFirewalls } = survey;
  const ofNetwork = ledger.value.filter(entry => entry.network === name);
  const leases = readOr<readonly Lease[]>(() => readLeases(bridge), []);
  const machines = machinesOf(network, {
    ...domains,
    entries: ofNetwork.filter(({ host }) => host === null),
    leases: leases.value,
    passThrough: passThroughNetworks(name, bridge),
    now: new Date(),
    forwards: survey.forwards,
  });
  const unreadable = [survey.damage ?? ledger.error, leases.error].flatMap((error): NetworkProblem[] =>
    error === null ? [] : [{ kind: 'unreadable', error }],
  );
  const { pid } = observed.dnsmasq;
  const isKnown = recordedNetwork(bridge) !== null;
  const faults = [
    ...unreadable,
    ...findProblems({ ...survey, isKnown, hostSteps: surveyHost(network).steps }),
    ...survey.tunnelDrops.map(drop => ({ kind: 'tunnel-dropped', drop }) as const),
    ...sessionProblems(survey.bgpSessions),
  ].map(describeFault);
  const present = presentFirewalls(otherFirewalls.reading);
  return {
    name,
    bridge,
    ...describeSubnet(network),
    mode: network.mode,
    isolate: network.isolate,
    alsoReached: survey.reach.besides,
    routeNeeded: survey.reach.via === null ? null : formatRoute(network, survey.reach.via),
    up: observed.link?.up === true && pid !== null,
    firewall: survey.backend.chosen,
    domain: network.domain,
    hostNames: survey.hostNames.found,
    dnsmasq: { running: pid !== null, pid },
    otherFirewalls: otherFirewallNames
      .filter(each => present.includes(each) || otherFirewalls.found[each].length > 0)
      .map(firewall => ({
        name: firewall,
        rules: describeRules({ firewall, rules: otherFirewalls.found[firewall] }),
      })),
    otherPorts: observed.otherPorts.map(port => port.name),
    tunnel: tunnelStatus(network, observed.tunnel, survey.bgpSessions),
    shared: network.sharesLedger ? await readShared(network, ofNetwork) : null,
    problems: faults.map(({ text }) => text),
    faults,
    probe: null,
    machines,
  };
}

/** Its code is loaded only where hosts share their ledgers. */
async function readShared(network: NetworkConfig, entries: readonly LedgerEntry[]): Promise<SharedStatus> {
  const { readSharedStatus } = await import('./shared-status.ts');
  return readSharedStatus(network, entries);
}

function readOr<T>(read: () => T, without: T): Reading<T> {
  try {
    return { value: read(), error: null };
  } catch (error) {
    return { value: without, error: error as Error };
  }
}
