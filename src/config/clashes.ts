import {
  broadcastOf,
  formatIp,
  formatPrefix,
  prefixContains,
  prefixesOverlap,
  rangeContains,
} from '../address/ip.ts';
import type { ConfigProblem, NetworkConfig } from './config.ts';
import type { Section } from './sections.ts';

interface Written {
  readonly config: NetworkConfig;
  readonly section: Section;
}

/** What each section says is right by itself, but does not go together. */
export function findClashes(networks: readonly Written[], hostSections: readonly Section[]): ConfigProblem[] {
  return [
    ...networks.flatMap(rangeClashes),
    ...networks.flatMap((network, index) =>
      networks.slice(0, index).flatMap(earlier => pairClashes(earlier, network)),
    ),
    ...hostClashes(networks, hostSections),
  ];
}

function rangeClashes({ config, section }: Written): ConfigProblem[] {
  const { subnet, range, gateway } = config;
  const text = `${formatIp(range.first)}-${formatIp(range.last)}`;
  const at = { line: section.entries.get('dhcp-range')?.line ?? section.line, what: `dhcp-range = ${text}` };
  if (range.first > range.last)
    return [{ ...at, message: 'ends before it begins: put the lower address first' }];
  if (!prefixContains(subnet, range.first) || !prefixContains(subnet, range.last)) {
    return [{ ...at, message: `lies outside ${formatPrefix(subnet)}: keep it inside, or change subnet` }];
  }
  if (rangeContains(range, gateway)) {
    return [{ ...at, message: `holds the host's own address ${formatIp(gateway)}: begin after it` }];
  }
  if (range.first === subnet.network || range.last === broadcastOf(subnet)) {
    return [
      {
        ...at,
        message: `holds the lowest or highest address of ${formatPrefix(subnet)}, which no machine can have`,
      },
    ];
  }
  return [];
}

function pairClashes(earlier: Written, later: Written): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const other = `[network.${earlier.config.name}]`;
  const lineOf = (key: string) => later.section.entries.get(key)?.line ?? later.section.line;
  if (prefixesOverlap(earlier.config.subnet, later.config.subnet)) {
    const what = `subnet = ${formatPrefix(later.config.subnet)}`;
    const message = `overlaps ${formatPrefix(earlier.config.subnet)} of ${other}: choose another`;
    problems.push({ line: lineOf('subnet'), what, message });
  }
  if (earlier.config.bridge === later.config.bridge) {
    const what = `bridge = ${later.config.bridge}`;
    problems.push({ line: lineOf('bridge'), what, message: `is the bridge of ${other} too: choose another` });
  }
  return problems;
}

function hostClashes(networks: readonly Written[], hostSections: readonly Section[]): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const owners = new Map<string, Section>();
  for (const section of hostSections) {
    const config = networks
      .map(network => network.config)
      .find(({ hosts }) => hosts.some(host => host.name === section.name));
    const host = config?.hosts.find(host => host.name === section.name);
    if (config === undefined || host === undefined) continue;
    const { subnet, gateway } = config;
    const complain = (key: string, value: string, message: string) =>
      problems.push({
        line: section.entries.get(key)?.line ?? section.line,
        what: `${key} = ${value}`,
        message,
      });

    const ip = formatIp(host.ip);
    if (!prefixContains(subnet, host.ip)) {
      complain('ip', ip, `lies outside ${formatPrefix(subnet)} of its network: choose one inside`);
    } else if ([gateway, subnet.network, broadcastOf(subnet)].includes(host.ip)) {
      complain('ip', ip, "is the host's own, or the lowest or highest of the subnet: choose another");
    }
    for (const [key, value] of [
      ['ip', ip],
      ['mac', host.mac],
    ] as const) {
      const owner = owners.get(value);
      if (owner === undefined) owners.set(value, section);
      else
        complain(key, value, `is that of [host.${owner.name}] in line ${owner.line} too: change one of them`);
    }
  }
  return problems;
}
