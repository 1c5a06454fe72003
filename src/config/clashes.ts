// Problems between valid settings: ranges outside their subnet, overlapping networks, addresses used twice.
import {
  broadcastOf,
  formatIp,
  formatPrefix,
  prefixContains,
  prefixesOverlap,
  rangeContains,
} from '../address/ip.ts';
import { clusterClashes } from './cluster-clashes.ts';
import type { ConfigProblem } from './config.ts';
import type { NetworkSource } from './connect.ts';
import { modeClashes } from './mode-clashes.ts';
import type { Section } from './sections.ts';

/** Returns the conflicts between settings, within a network and between networks and hosts. */
export function findClashes(
  networks: readonly NetworkSource[],
  hostSections: readonly Section[],
  cluster: Section | null,
): ConfigProblem[] {
  return [
    ...networks.flatMap(rangeClashes),
    ...networks.flatMap((network, index) =>
      networks.slice(0, index).flatMap(earlier => pairClashes(earlier, network)),
    ),
    ...hostClashes(networks, hostSections),
    ...modeClashes(networks),
    ...clusterClashes(networks, cluster),
  ];
}

function rangeClashes({ config, section }: NetworkSource): ConfigProblem[] {
  const { subnet, range, gateway } = config;
  const text = `${formatIp(range.first)}-${formatIp(range.last)}`;
  const at = { line: section.entries.get('dhcp-range')?.line ?? section.line, what: `dhcp-range = ${text}` };
  if (range.first > range.last)
    return [{ ...at, message: 'ends before it begins: put the lower address first' }];
  if (!prefixContains(subnet, range.first) || !prefixContains(subnet, range.last)) {
    return [{ ...at, message: `is not inside ${formatPrefix(subnet)}: change it, or change subnet` }];
  }
  if (rangeContains(range, gateway)) {
    return [{ ...at, message: `includes the host's own address ${formatIp(gateway)}: begin after it` }];
  }
  if (range.first === subnet.network || range.last === broadcastOf(subnet)) {
    return [
      {
        ...at,
        message: `includes the lowest or highest address of ${formatPrefix(subnet)}, which no machine can have: leave it out`,
      },
    ];
  }
  return [];
}

function pairClashes(earlier: NetworkSource, later: NetworkSource): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const other = `[network.${earlier.config.name}]`;
  const lineOf = (key: string) => later.section.entries.get(key)?.line ?? later.section.line;
  if (prefixesOverlap(earlier.config.subnet, later.config.subnet)) {
    const what = `subnet = ${formatPrefix(later.config.subnet)}`;
    const message = `overlaps ${formatPrefix(earlier.config.subnet)} of ${other}: choose another subnet`;
    problems.push({ line: lineOf('subnet'), what, message });
  }
  if (earlier.config.domain === later.config.domain) {
    // Each dnsmasq would answer for the machines of its own network only.
    const message = `is also the domain of ${other}: write another, domain = …`;
    problems.push({ line: lineOf('domain'), what: `domain = ${later.config.domain}`, message });
  }
  if (earlier.config.bridge === later.config.bridge) {
    const what = `bridge = ${later.config.bridge}`;
    problems.push({
      line: lineOf('bridge'),
      what,
      message: `is also the bridge of ${other}: choose another`,
    });
  }
  return problems;
}

function hostClashes(networks: readonly NetworkSource[], hostSections: readonly Section[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const owners = new Map<string, Section>();
  for (const section of hostSections) {
    const config = networks
      .map(network => network.config)
      .find(({ hosts }) => hosts.some(host => host.name === section.name));
    const host = config?.hosts.find(host => host.name === section.name);
    if (config === undefined || host === undefined) continue;
    const { subnet, gateway } = config;
    const addProblem = (key: string, value: string, message: string) =>
      problems.push({
        line: section.entries.get(key)?.line ?? section.line,
        what: `${key} = ${value}`,
        message,
      });

    const ip = formatIp(host.ip);
    if (!prefixContains(subnet, host.ip)) {
      addProblem(
        'ip',
        ip,
        `is not inside ${formatPrefix(subnet)}, the subnet of its network: choose an address inside`,
      );
    } else if ([gateway, subnet.network, broadcastOf(subnet)].includes(host.ip)) {
      addProblem(
        'ip',
        ip,
        "is the host's own address, or the lowest or highest of the subnet: choose another",
      );
    }
    for (const [key, value] of [
      ['ip', ip],
      ['mac', host.mac],
    ] as const) {
      const owner = owners.get(value);
      if (owner === undefined) owners.set(value, section);
      else
        addProblem(
          key,
          value,
          `is also that of [host.${owner.name}] in line ${owner.line}: change one of them`,
        );
    }
  }
  return problems;
}
