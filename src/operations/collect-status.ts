import type { Config, NetworkConfig } from '../config/config.ts';
import type { Ledger } from '../identity/ledger.ts';
import { readLeases, readLedger } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import { describeStep } from '../network/describe.ts';
import { readBefore } from '../network/original-state.ts';
import { type Survey, surveyHost, surveyNetwork } from '../network/survey.ts';
import { describeLine } from '../other-firewalls/desired.ts';
import { firewalls, firewallsHere } from '../other-firewalls/model.ts';
import { describeSubnet, machinesOf, type NetworkStatus, type Status } from '../report/status.ts';
import { version } from '../version.ts';

/** Reads the host as it is, from the kernel and from files, without asking libvirt. */
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
  domains: Pick<Parameters<typeof machinesOf>[1], 'defined' | 'running'>,
): Promise<NetworkStatus> {
  const { name, bridge } = network;
  const survey = await surveyNetwork(network);
  const { observed } = survey;
  const machines = machinesOf(network, {
    ...domains,
    entries: ledger.entries().filter(entry => entry.network === name && entry.retired === null),
    leases: readLeases(bridge),
    passThrough: passThroughNetworks(name, bridge),
    now: new Date(),
  });
  const { pid } = observed.dnsmasq;
  const backend = (['nftables', 'iptables'] as const).find(each => survey.desired.rules[each] !== null);
  return {
    name,
    bridge,
    ...describeSubnet(network),
    up: observed.link?.up === true && pid !== null,
    firewall: backend ?? null,
    dnsmasq: { running: pid !== null, pid },
    otherFirewalls: firewalls
      .filter(each => firewallsHere(survey.foreign).includes(each) || observed.foreign[each].length > 0)
      .map(each => ({ name: each, rules: observed.foreign[each].map(line => describeLine(each, line)) })),
    problems: findProblems(survey),
    probe: null,
    machines,
  };
}

function findProblems({ network, desired, observed, steps, conflicts, obstacles }: Survey): string[] {
  const isKnown = readBefore()?.networks[network.bridge] !== undefined;
  if (observed.link === null && !isKnown) return [...conflicts, 'not established: "virlan up" does that'];
  const pending = [...surveyHost().steps, ...steps].map(describeStep);
  const changes = pending.map(
    ({ sign, subject, detail }) => `${sign} ${subject}${detail === '' ? '' : ` ${detail}`}`,
  );
  return [
    ...conflicts,
    ...(changes.length === 0 ? [] : [`not as it should be, "virlan up" mends it: ${changes.join('; ')}`]),
    ...obstacles,
    ...(desired.nic.state === null
      ? ['this kernel has no dummy NICs; the bridge keeps its MAC without one']
      : []),
    ...(desired.rules.iptables === null
      ? ['no iptables here to fill in the checksum of DHCP replies: install iptables']
      : []),
  ];
}
