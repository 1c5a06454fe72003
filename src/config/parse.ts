import * as v from 'valibot';
import { broadcastOf, formatIp, formatPrefix, ipv4After, prefixOf } from '../address/ip.ts';
import { isLabel } from '../names/label.ts';
import { excerpt } from '../text.ts';
import { findClashes } from './clashes.ts';
import type { ConfigProblem, ConfigResult, FixedHost, NetworkConfig } from './config.ts';
import { bridgeName, hostSection, type NetworkSection, networkSection } from './schema.ts';
import { maxExcerpt, readSections, type Section } from './sections.ts';

/** The network of a host without a configuration. */
const defaultNetworkName = 'k8s-br0';

/** Text of virlan.ini → typed configuration, or all that is wrong with it. An empty text gives the default network. */
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
      const message = 'is no host name: use letters, digits and "-", with a letter or digit at both ends';
      problems.push({ line, what: `[host.${section.name}]`, message });
    } else if (!sections.some(other => other.kind === 'network' && other.name === values.network)) {
      const what = `network = ${excerpt(values.network, maxExcerpt)}`;
      problems.push({
        line: section.entries.get('network')?.line ?? line,
        what,
        message: 'there is no section of that network',
      });
    } else {
      const host = { name: section.name, mac: values.mac, ip: values.ip };
      hosts.set(values.network, [...(hosts.get(values.network) ?? []), host]);
    }
  }

  const networks: { config: NetworkConfig; section: Section }[] = [];
  for (const section of sections.filter(({ kind }) => kind === 'network')) {
    const values = readSection(section, networkSection, problems);
    if (values === null) continue;
    const config = makeNetwork(section, values, hosts.get(section.name) ?? [], problems);
    if (config !== null) networks.push({ config, section });
  }

  if (problems.length === 0)
    problems.push(
      ...findClashes(
        networks,
        sections.filter(({ kind }) => kind === 'host'),
      ),
    );
  if (problems.length > 0) return { ok: false, problems: problems.sort((a, b) => a.line - b.line) };
  return { ok: true, config: { networks: networks.map(({ config }) => config) } };
}

function readSection<TSchema extends v.GenericSchema>(
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
      const message = `needs a line ${key} = …`;
      problems.push({ line: section.line, what: `[${section.kind}.${section.name}]`, message });
    } else if (issue.type === 'strict_object') {
      const known = Object.keys((schema as unknown as { entries: object }).entries).join(', ');
      problems.push({
        line: entry.line,
        what: excerpt(key, maxExcerpt),
        message: `is no key of a ${section.kind}: there are ${known}`,
      });
    } else {
      problems.push({
        line: entry.line,
        what: excerpt(`${key} = ${entry.value}`, maxExcerpt),
        message: issue.message,
      });
    }
  }
  return null;
}

function makeNetwork(
  section: Section,
  values: NetworkSection,
  hosts: readonly FixedHost[],
  problems: ConfigProblem[],
): NetworkConfig | null {
  const complain = (key: string, message: string) => {
    const entry = section.entries.get(key);
    const what =
      entry === undefined ? `[network.${section.name}]` : excerpt(`${key} = ${entry.value}`, maxExcerpt);
    problems.push({ line: entry?.line ?? section.line, what, message });
    return null;
  };

  if (section.name === 'default')
    return complain('', "is the name of libvirt's own network: choose another, see default-network");
  if (values.bridge === undefined && !v.is(bridgeName, section.name)) {
    return complain(
      '',
      'its name is no name for a bridge (15 bytes at most, not all): give it one with bridge = …',
    );
  }
  const { dns, subnet: written } = values;
  const subnet = prefixOf(written.address, written.length);
  if (subnet.network !== written.address)
    return complain('subnet', `has host bits set: write ${formatPrefix(subnet)}`);
  if (subnet.length < 8 || subnet.length > 29) {
    return complain('subnet', 'a prefix from /8 to /29 leaves room for a host and its machines');
  }
  const gateway = ipv4After(subnet.network, 1);
  if (dns !== 'host' && dns.includes(gateway)) {
    return complain('dns', `${formatIp(gateway)} is this network's own DNS server: name another`);
  }
  return {
    name: section.name,
    bridge: values.bridge ?? section.name,
    subnet,
    gateway,
    range: values['dhcp-range'] ?? { first: ipv4After(gateway, 1), last: ipv4After(broadcastOf(subnet), -1) },
    stp: values.stp,
    mtu: values.mtu,
    firewall: values.firewall,
    hostAccess: values['host-access'],
    hostAllow: values['host-allow'],
    hostFirewall: values['host-firewall'],
    domain: values.domain ?? `${section.name.toLowerCase().replaceAll('_', '-')}.internal`,
    dns,
    mac: values.mac,
    defaultNetwork: values['default-network'],
    leaseTime: values['lease-time'],
    onError: values['on-error'],
    hosts,
  };
}
