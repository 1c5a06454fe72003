// Problems between the keys of a network that is on several hosts, and with the `[cluster]` section.
import {
  formatIp,
  formatPrefix,
  type Ipv4,
  parseAddressWithPrefix,
  prefixContains,
  prefixOf,
} from '../address/ip.ts';
import { excerpt } from '../text.ts';
import type { ConfigProblem, TunnelConfig } from './config.ts';
import type { NetworkSource } from './connect.ts';
import { maxExcerptLength, type Section } from './sections.ts';

/** Returns the problems of all networks that are on several hosts. */
export function clusterClashes(networks: readonly NetworkSource[], cluster: Section | null): ConfigProblem[] {
  const ofNetworks = networks.flatMap((network, index) => {
    const { tunnel } = network.config;
    if (tunnel === null) return cluster === null ? withoutCluster(network) : [];
    return [
      ...sharedNumbers(network, tunnel, networks.slice(0, index)),
      ...sharedPool(network),
      ...notBuilt(network),
      ...(cluster === null ? [] : endsOfTunnels(network, tunnel, cluster)),
    ];
  });
  return cluster === null ? ofNetworks : [...ofNetworks, ...keysOfEtcd(cluster)];
}

/** Keys of `[cluster]`, each with those without which it has no effect; `peers` only where it is `etcd`. */
const needed: Readonly<Record<string, readonly string[]>> = {
  peers: ['etcd'],
  ca: ['etcd'],
  cert: ['etcd', 'key'],
  key: ['cert'],
  username: ['etcd', 'password-file'],
  'password-file': ['username'],
};

function keysOfEtcd({ entries }: Section): ConfigProblem[] {
  return [...entries].flatMap(([key, { line, value }]) => {
    const isSetting = key === 'peers' ? value === 'etcd' : value !== '';
    const others = isSetting ? (needed[key] ?? []) : [];
    const lacking = others.find(other => !entries.get(other)?.value);
    return lacking === undefined
      ? []
      : { line, what: settingText(key, value), message: `needs ${lacking} =` };
  });
}

function withoutCluster({ section }: NetworkSource): ConfigProblem[] {
  const vni = section.entries.get('vni');
  if (vni === undefined || vni.value === '') return [];
  const message = 'needs a [cluster] section with address = and peers =';
  return [{ line: vni.line, what: settingText('vni', vni.value), message }];
}

function sharedNumbers(
  { section }: NetworkSource,
  { vni }: TunnelConfig,
  earlier: readonly NetworkSource[],
): ConfigProblem[] {
  const other = earlier.find(({ config }) => config.tunnel?.vni === vni);
  if (other === undefined) return [];
  const message = `is also that of [network.${other.config.name}]: choose another`;
  return [{ line: lineOf(section, 'vni'), what: `vni = ${vni}`, message }];
}

function sharedPool({ config, section }: NetworkSource): ConfigProblem[] {
  if (config.sharesLedger || section.entries.has('dhcp-range')) return [];
  const message =
    'has vni, and needs dhcp-range: a part of the subnet that no other host of the cluster gives addresses of, or etcd =';
  return [{ line: section.line, what: `[network.${section.name}]`, message }];
}

/** Settings that would promise more than a network over several hosts has. */
function notBuilt({ config, section }: NetworkSource): ConfigProblem[] {
  const reasons: readonly (readonly [key: string, isSet: boolean, message: string])[] = [
    ['stp', config.stp, 'is not possible with vni: the tunnels would be a loop for it. Remove it'],
    [
      'mode',
      config.mode === 'routed',
      'is not possible with vni: the outside would reach a machine only by way of its own host. Choose another mode',
    ],
    [
      'reaches',
      section.entries.get('reaches')?.value !== undefined,
      'is not possible with vni: machines of other hosts would not be reached',
    ],
    ['strangers', config.sharesLedger && config.strangers, 'is not possible with etcd'],
  ];
  return reasons.flatMap(([key, isSet, message]) => {
    const entry = section.entries.get(key);
    if (!isSet || entry === undefined || entry.value === '') return [];
    return [{ line: entry.line, what: settingText(key, entry.value), message }];
  });
}

function endsOfTunnels(
  { config: { name, subnet } }: NetworkSource,
  { address, peers }: TunnelConfig,
  cluster: Section,
): ConfigProblem[] {
  const at = (key: string) => ({
    line: lineOf(cluster, key),
    what: settingText(key, cluster.entries.get(key)?.value ?? ''),
  });
  const inside = (
    [
      ['address', [address]],
      ['peers', peers],
    ] as const
  ).flatMap(([key, addresses]) =>
    addresses
      .filter(each => prefixContains(subnet, each))
      .map(each => ({
        ...at(key),
        message: `${formatIp(each)} is inside ${formatPrefix(subnet)}, which [network.${name}] carries through the tunnels: write addresses of the hosts`,
      })),
  );
  const own = peers.includes(address)
    ? [
        {
          ...at('peers'),
          message: `${formatIp(address)} is this host's own address: name the other hosts only`,
        },
      ]
    : [];
  const twice = peers.find((peer, index) => peers.indexOf(peer) !== index);
  return [
    ...inside,
    ...own,
    ...hostsOutside(cluster, at, address),
    ...(twice === undefined ? [] : [{ ...at('peers'), message: `names ${formatIp(twice)} twice` }]),
  ];
}

/** A prefix of the hosts has an effect with BGP only, and the other hosts have the same. */
function hostsOutside(
  { entries }: Section,
  at: (key: string) => Pick<ConfigProblem, 'line' | 'what'>,
  address: Ipv4,
): ConfigProblem[] {
  const hosts = parseAddressWithPrefix(entries.get('hosts')?.value ?? '');
  if (hosts === null) return [];
  if ((entries.get('as')?.value ?? '') === '')
    return [{ ...at('hosts'), message: 'has no effect without as: add it, or remove this line' }];
  if (prefixContains(prefixOf(hosts.address, hosts.length), address)) return [];
  const message = `does not contain ${formatIp(address)}, the address of this host: write a network that contains all hosts`;
  return [{ ...at('hosts'), message }];
}

function lineOf(section: Section, key: string): number {
  return section.entries.get(key)?.line ?? section.line;
}

function settingText(key: string, value: string): string {
  return excerpt(`${key} = ${value}`, maxExcerptLength);
}
