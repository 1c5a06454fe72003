// Reads the file of an active libvirt network, with the entries that `virsh net-update` has added to its <dns>.
//   <networkstatus><network><name>k8s-br0</name><forward mode='bridge'/><bridge name='k8s-br0'/>
//     <dns><txt name='example' value='any text'/>
//       <srv service='ldap' protocol='tcp' domain='example.org' target='ldap.example.org' port='389'/>
//       <host ip='192.168.100.60'><hostname>registry</hostname></host></dns></network></networkstatus>
import { type IpAddress, parseIp } from '../address/ip.ts';
import type { RecordText } from '../names/dns-record.ts';
import { isHostName } from '../names/label.ts';
import type { Result } from '../result.ts';
import { type LibvirtNetwork, networkVisitor } from './network-xml.ts';
import { walkXml } from './xml.ts';

/** An entry that `virsh net-update NETWORK add dns-host` makes. */
export interface DnsHost {
  readonly ip: IpAddress;
  /** In lower case. */
  readonly names: readonly string[];
  /** The names that cannot be host names, as they are written. */
  readonly invalid: readonly string[];
}

/** A libvirt network that is active, with what its `<dns>` names. */
export interface ActiveNetwork extends LibvirtNetwork {
  readonly dnsHosts: readonly DnsHost[];
  readonly dnsRecords: readonly RecordText[];
}

const dns = 'networkstatus/network/dns';

/** Reads the file of an active network, `<networkstatus>` with the network in it. Never throws. */
export function parseActiveNetwork(xml: string): Result<ActiveNetwork> {
  const network = { name: '', forward: null as string | null, bridge: null as string | null };
  const dnsHosts: { readonly ip: IpAddress; readonly names: string[]; readonly invalid: string[] }[] = [];
  const dnsRecords: RecordText[] = [];
  const visitor = networkVisitor(network);
  let isOfHost = false;
  const walked = walkXml(xml, {
    open(path, attributes) {
      visitor.open(path, attributes);
      if (path === `${dns}/txt` || path === `${dns}/srv`) dnsRecords.push(recordOf(path, attributes));
      if (path !== `${dns}/host`) return;
      const ip = parseIp(attributes.get('ip') ?? '');
      isOfHost = ip !== null;
      if (ip !== null) dnsHosts.push({ ip, names: [], invalid: [] });
    },
    text(path, text) {
      visitor.text(path, text);
      if (path !== `${dns}/host/hostname` || !isOfHost) return;
      const name = text.trim().toLowerCase();
      const host = dnsHosts.at(-1);
      if (isHostName(name)) host?.names.push(name);
      else host?.invalid.push(text);
    },
  });
  if (!walked.ok) return walked;
  return { ok: true, value: { ...network, dnsHosts, dnsRecords } };
}

/** Returns a network whose hosts in a domain are named without it: `web.k8s-br0.internal` is the machine `web`. */
export function withoutDomain(network: ActiveNetwork, domain: string): ActiveNetwork {
  const end = `.${domain.toLowerCase()}`;
  const simple = (name: string) => (name.endsWith(end) ? name.slice(0, -end.length) : name);
  const dnsHosts = network.dnsHosts.map(host => ({ ...host, names: [...new Set(host.names.map(simple))] }));
  return { ...network, dnsHosts };
}

function recordOf(path: string, attributes: ReadonlyMap<string, string>): RecordText {
  const text = (name: string) => attributes.get(name) ?? '';
  const orNull = (name: string) => attributes.get(name) ?? null;
  if (path === `${dns}/txt`) return { kind: 'txt', name: text('name'), value: text('value') };
  return {
    kind: 'srv',
    service: text('service'),
    protocol: text('protocol'),
    domain: orNull('domain'),
    target: orNull('target'),
    port: orNull('port'),
    priority: orNull('priority'),
    weight: orNull('weight'),
  };
}
