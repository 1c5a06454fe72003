// Turns the text of virlan.ini into the typed configuration.
import * as v from 'valibot';
import {
  broadcastOf,
  formatIp,
  formatPrefix,
  type Ipv4,
  ipv4After,
  type Prefix,
  parseAddressWithPrefix,
  prefixesOverlap,
  prefixOf,
} from '../address/ip.ts';
import { isLabel } from '../names/label.ts';
import { excerpt } from '../text.ts';
import { bootPorts } from './boot.ts';
import { findClashes } from './clashes.ts';
import type {
  ConfigProblem,
  ConfigResult,
  EtcdConfig,
  FixedHost,
  MachineSection,
  TunnelConfig,
} from './config.ts';
import { connectNetworks, type NetworkSource, type OwnConfig } from './connect.ts';
import {
  bridgeName,
  type ClusterSection,
  clusterSection,
  hostSection,
  type MachineKeys,
  machineSection,
  type NetworkSection,
  networkSection,
  watcherSection,
} from './schema.ts';
import { formatHeader, maxExcerptLength, readSections, type Section } from './sections.ts';

/** The name of the network that exists without a configuration. */
export const defaultNetworkName = 'k8s-br0';

/** Returns the configuration, or its problems in order of lines. An empty text means the default network. */
export function parseConfig(text: string): ConfigResult {
  const { sections, problems } = readSections(text);
  if (!sections.some(section => section.kind === 'network') && problems.length === 0) {
    sections.push({ kind: 'network', name: defaultNetworkName, line: 0, entries: new Map() });
  }

  const hosts = new Map<string, FixedHost[]>();
  for (const section of sections.filter(({ kind }) => kind === 'host')) {
    const values = readSection(section, hostSection, problems);
    if (values === null) continue;
    const { line } = section;
    if (!isLabel(section.name)) {
      const message =
        'cannot be a host name: use letters, digits and "-", with a letter or digit at both ends';
      problems.push({ line, what: `[host.${section.name}]`, message });
    } else if (!sections.some(other => other.kind === 'network' && other.name === values.network)) {
      const what = `network = ${excerpt(values.network, maxExcerptLength)}`;
      problems.push({
        line: section.entries.get('network')?.line ?? line,
        what,
        message: 'names a network that has no section: write the NAME of a [network.NAME] section',
      });
    } else {
      const host = { name: section.name, mac: values.mac, ip: values.ip };
      hosts.set(values.network, [...(hosts.get(values.network) ?? []), host]);
    }
  }

  const machines = sections
    .filter(({ kind }) => kind === 'machine')
    .flatMap((section): MachineSection[] => {
      const values = readSection(section, machineSection, problems);
      return values === null ? [] : [machineOf(section.name, values)];
    });

  const cluster = sections.find(({ kind }) => kind === 'cluster') ?? null;
  const ends = cluster === null ? null : readSection(cluster, clusterSection, problems);
  const watcher = sections.find(({ kind }) => kind === 'watcher');
  const metrics = watcher === undefined ? null : readSection(watcher, watcherSection, problems)?.metrics;

  const networks: NetworkSource[] = [];
  for (const section of sections.filter(({ kind }) => kind === 'network')) {
    const values = readSection(section, networkSection, problems);
    if (values === null) continue;
    const others = { hosts: hosts.get(section.name) ?? [], machines, ends };
    const config = makeNetwork(section, values, others, problems);
    if (config !== null) networks.push({ config: { ...config, machines }, section, reaches: values.reaches });
  }

  if (problems.length === 0)
    problems.push(
      ...findClashes(
        networks,
        sections.filter(({ kind }) => kind === 'host'),
        cluster,
      ),
    );
  if (problems.length > 0) return { ok: false, problems: problems.sort((a, b) => a.line - b.line) };
  const etcd = ends === null ? null : etcdOf(ends);
  return { ok: true, config: { networks: connectNetworks(networks), etcd, metrics: metrics || null } };
}

function readSection<TSchema extends v.GenericSchema & { readonly entries: object }>(
  section: Section,
  schema: TSchema,
  problems: ConfigProblem[],
): v.InferOutput<TSchema> | null {
  const values = Object.fromEntries([...section.entries].map(([key, entry]) => [key, entry.value]));
  const result = v.safeParse(schema, values);
  if (result.success) return result.output;
  for (const issue of result.issues) {
    const key = String(issue.path?.[0]?.key ?? '');
    const entry = section.entries.get(key);
    if (entry === undefined) {
      const message = `has no ${key}: add a line ${key} = …`;
      problems.push({ line: section.line, what: formatHeader(section), message });
    } else if (issue.type === 'strict_object') {
      const known = Object.keys(schema.entries).join(', ');
      problems.push({
        line: entry.line,
        what: excerpt(key, maxExcerptLength),
        message: `is not a key of a ${section.kind} section; its keys are ${known}`,
      });
    } else {
      problems.push({
        line: entry.line,
        what: excerpt(`${key} = ${entry.value}`, maxExcerptLength),
        message: issue.message,
      });
    }
  }
  return null;
}

function machineOf(name: string, { aliases, forward: forwards, boot }: MachineKeys): MachineSection {
  return { name, aliases, forwards, boot: boot === '' ? null : boot };
}

function tunnelOf(vni: number, { address, peers, as, hosts }: ClusterSection): TunnelConfig {
  const evpn = as === '' ? null : { as, hosts: hosts === '' ? null : hosts };
  return { vni, address, peers: peers === 'etcd' ? [] : peers, evpn };
}

function etcdOf({
  address,
  peers,
  etcd,
  ca,
  cert,
  key,
  username,
  ...rest
}: ClusterSection): EtcdConfig | null {
  if (etcd.length === 0) return null;
  const passwordFile = rest['password-file'];
  return {
    endpoints: etcd,
    address,
    namesPeers: peers === 'etcd',
    ca: ca || null,
    cert: cert || null,
    key: key || null,
    user: username === '' ? null : { name: username, passwordFile },
  };
}

/** The settings of other sections that a network depends on. */
interface OtherSections {
  readonly hosts: readonly FixedHost[];
  readonly machines: readonly MachineSection[];
  readonly ends: ClusterSection | null;
}

/** Prefixes of addresses that no machine can have (RFC 6890, RFC 5771). */
const specialPrefixes = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4'].map(text => {
  const parsed = parseAddressWithPrefix(text);
  if (parsed === null) throw new Error(`${text} is not a prefix`);
  return prefixOf(parsed.address, parsed.length);
});

/** Something in a section that rules it out. `key` is empty where it is about the section as a whole. */
interface SectionProblem {
  readonly key: string;
  readonly message: string;
}

/** Returns the first problem that a network's section has although each key is valid by itself; null for none. */
function findSectionProblem({ name }: Section, values: NetworkSection): SectionProblem | null {
  const problem = (key: string, message: string) => ({ key, message });
  if (name === 'default')
    return problem('', "is the name of libvirt's own network: choose another name (see default-network)");
  if (values.bridge === undefined && !v.is(bridgeName, name))
    return problem(
      '',
      'its name cannot be that of a bridge (at most 15 bytes, not "all"): name one with bridge = …',
    );
  const { dns, subnet: written, domain } = values;
  const subnet = prefixOf(written.address, written.length);
  if (subnet.network !== written.address)
    return problem('subnet', `has host bits set: write ${formatPrefix(subnet)}`);
  if (subnet.length < 8 || subnet.length > 29)
    return problem('subnet', 'is too large or too small: use a prefix from /8 to /29');
  const special = specialPrefixes.find(prefix => prefixesOverlap(prefix, subnet));
  if (special !== undefined)
    return problem(
      'subnet',
      `has addresses of ${formatPrefix(special)}, which no machine can have: choose another`,
    );
  if (domain !== undefined && /(^|\.)local$/.test(domain))
    return problem('domain', 'belongs to multicast DNS, and is not asked at a name server: use .internal');
  if (domain !== undefined && !domain.includes('.'))
    return problem('domain', `has only one label: write one with a dot, such as ${domain}.internal`);
  const gateway = gatewayOf(subnet);
  if (dns !== 'host' && dns.includes(gateway))
    return problem('dns', `${formatIp(gateway)} is the DNS server of this network itself: name another`);
  if (values.boot !== '' && values.boot.kind === 'file' && values.tftp === '')
    return problem('boot', 'is a file, for which there is no directory: write tftp = DIRECTORY, or a URL');
  return null;
}

function locate({ name, line, entries }: Section, { key, message }: SectionProblem): ConfigProblem {
  const entry = entries.get(key);
  return entry === undefined
    ? { line, what: `[network.${name}]`, message }
    : { line: entry.line, what: excerpt(`${key} = ${entry.value}`, maxExcerptLength), message };
}

function gatewayOf(subnet: Prefix<Ipv4>): Ipv4 {
  return ipv4After(subnet.network, 1);
}

function makeNetwork(
  section: Section,
  values: NetworkSection,
  { hosts, machines, ends }: OtherSections,
  problems: ConfigProblem[],
): Omit<OwnConfig, 'machines'> | null {
  const problem = findSectionProblem(section, values);
  if (problem !== null) {
    problems.push(locate(section, problem));
    return null;
  }
  const subnet = prefixOf(values.subnet.address, values.subnet.length);
  const gateway = gatewayOf(subnet);
  const [boot, tftp] = [values.boot === '' ? null : values.boot, values.tftp === '' ? null : values.tftp];
  const sharesLedger = values.vni !== '' && ends !== null && ends.etcd.length > 0;
  const domain = values.domain ?? `${section.name.toLowerCase().replaceAll('_', '-')}.internal`;
  return {
    name: section.name,
    bridge: values.bridge ?? section.name,
    subnet,
    gateway,
    range: values['dhcp-range'] ?? { first: ipv4After(gateway, 1), last: ipv4After(broadcastOf(subnet), -1) },
    mode: values.mode,
    outside: values.outside,
    uplink: values.uplink === '' ? null : values.uplink,
    // The tunnels would be a loop. That an stp = yes is written is an error: see cluster-clashes.ts.
    stp: values.stp && (values.vni === '' || section.entries.has('stp')),
    mtu: values.mtu,
    tunnel: values.vni === '' || ends === null ? null : tunnelOf(values.vni, ends),
    sharesLedger,
    firewall: values.firewall,
    hostAccess: values['host-access'],
    hostAllow: [
      ...values['host-allow'],
      ...bootPorts([boot, ...machines.map(each => each.boot)], tftp, gateway, domain),
    ],
    hostFirewall: values['host-firewall'],
    domain,
    names: values.names,
    dns: values.dns,
    boot,
    tftp,
    dhcpOptions: values['dhcp-option'],
    macPolicy: values.mac,
    defaultNetwork: values['default-network'],
    leaseTimeSeconds: values['lease-time'],
    onError: values['on-error'],
    // An open network has no rules at all.
    guard: values.mode === 'open' ? 'no' : values.guard,
    forwardPorts: values['forward-ports'] === 'no' ? null : values['forward-ports'],
    localhost: values.localhost,
    isolate: values.mode !== 'open' && values.isolate,
    strangers: values.strangers && (!sharesLedger || section.entries.has('strangers')),
    hosts,
  };
}
