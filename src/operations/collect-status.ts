// Reads what `virlan status` shows from the kernel and from files, without asking libvirt.
import type { Config, NetworkConfig } from '../config/config.ts';
import type { Ledger } from '../identity/ledger.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { readOriginalState } from '../network/original-state.ts';
import { type Survey, surveyHost, surveyNetwork } from '../network/survey.ts';
import { otherFirewallNames } from '../other-firewalls/model.ts';
import { describeRules, presentFirewalls } from '../other-firewalls/registry.ts';
import {
  describeSubnet,
  type MachineSources,
  machinesOf,
  type NetworkProblem,
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
  return { virlan: version, watcher: { running: false, pid: null, libvirt: 'unknown' }, networks };
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
    entries: ledger.entries().filter(entry => entry.network === name && entry.retired === null),
    leases: readLeases(bridge),
    passThrough: passThroughNetworks(name, bridge),
    now: new Date(),
  });
  const { pid } = observed.dnsmasq;
  const present = presentFirewalls(otherFirewalls);
  return {
    name,
    bridge,
    ...describeSubnet(network),
    up: observed.link?.up === true && pid !== null,
    firewall: survey.backend.chosen,
    dnsmasq: { running: pid !== null, pid },
    otherFirewalls: otherFirewallNames
      .filter(each => present.includes(each) || observed.otherFirewallRules[each].length > 0)
      .map(firewall => ({
        name: firewall,
        rules: describeRules({ firewall, rules: observed.otherFirewallRules[firewall] }),
      })),
    problems: findProblems(survey).map(networkProblemText),
    probe: null,
    machines,
  };
}

function findProblems({ network, desired, observed, steps, warnings }: Survey): NetworkProblem[] {
  const isKnown = readOriginalState()?.networks[network.bridge] !== undefined;
  const asWarning = (warning: (typeof warnings)[number]) => ({ kind: 'warning', warning }) as const;
  const conflicts = warnings.filter(({ kind }) => kind === 'conflict').map(asWarning);
  if (observed.link === null && !isKnown) return [...conflicts, { kind: 'not-established' }];
  const pending = [...surveyHost().steps, ...steps];
  const problems: NetworkProblem[] = [...conflicts];
  if (pending.length > 0) problems.push({ kind: 'drift', steps: pending });
  problems.push(...warnings.filter(({ kind }) => kind !== 'conflict').map(asWarning));
  if (desired.dummy.state === null) problems.push({ kind: 'no-dummy' });
  if (!desired.rules.some(({ backend }) => backend === 'iptables')) problems.push({ kind: 'no-checksum' });
  return problems;
}
