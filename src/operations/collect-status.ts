// Reads the status that `virlan status` shows from the kernel and from files, without calls to libvirt.
import type { Config, NetworkConfig } from '../config/config.ts';
import type { Ledger } from '../identity/ledger.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { readRemovedDefaultFates } from '../libvirt-networks/arrange.ts';
import { defaultFateText } from '../libvirt-networks/words.ts';
import { readOriginalState } from '../network/original-state.ts';
import { surveyHost, surveyNetwork } from '../network/survey.ts';
import { otherFirewallNames } from '../other-firewalls/model.ts';
import { describeRules, presentFirewalls } from '../other-firewalls/registry.ts';
import { findProblems } from '../report/network-problems.ts';
import {
  describeSubnet,
  type MachineSources,
  machinesOf,
  type NetworkStatus,
  type Status,
} from '../report/status.ts';
import { networkProblemText } from '../report/status-text.ts';
import { version } from '../version.ts';

/** Reads the status. Throws when the ledger is damaged. */
export async function collectStatus(config: Config): Promise<Status> {
  const ledger = readLedger();
  const domains = { defined: definedDomains(), running: runningDomains() };
  const networks: NetworkStatus[] = [];
  for (const network of config.networks) networks.push(await collectNetwork(network, ledger, domains));
  const notes = readRemovedDefaultFates(config).map(defaultFateText);
  return { virlan: version, watcher: { running: false, pid: null, libvirt: 'unknown' }, networks, notes };
}

async function collectNetwork(
  network: NetworkConfig,
  ledger: Ledger,
  domains: Pick<MachineSources, 'defined' | 'running'>,
): Promise<NetworkStatus> {
  const { name, bridge } = network;
  const survey = await surveyNetwork(network);
  if (survey.damage !== null) throw survey.damage;
  const { observed, otherFirewalls } = survey;
  const machines = machinesOf(network, {
    ...domains,
    entries: ledger.present().filter(entry => entry.network === name),
    leases: readLeases(bridge),
    passThrough: passThroughNetworks(name, bridge),
    now: new Date(),
  });
  const { pid } = observed.dnsmasq;
  const isKnown = readOriginalState()?.networks[bridge] !== undefined;
  const present = presentFirewalls(otherFirewalls.reading);
  return {
    name,
    bridge,
    ...describeSubnet(network),
    up: observed.link?.up === true && pid !== null,
    firewall: survey.backend.chosen,
    dnsmasq: { running: pid !== null, pid },
    otherFirewalls: otherFirewallNames
      .filter(each => present.includes(each) || otherFirewalls.found[each].length > 0)
      .map(firewall => ({
        name: firewall,
        rules: describeRules({ firewall, rules: otherFirewalls.found[firewall] }),
      })),
    problems: findProblems({ ...survey, isKnown, hostSteps: surveyHost().steps }).map(networkProblemText),
    probe: null,
    machines,
  };
}
