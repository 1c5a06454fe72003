// Renders dnsmasq.conf of a network, such as `dhcp-range=192.168.100.2,192.168.100.254,255.255.255.0,…`.
import { broadcastOf, formatIp, formatPrefix, netmaskOf } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { bootLines, optionLine } from './boot-lines.ts';
import { waitingQuestions } from './dns-limits.ts';
import { machinesHeader } from './machine-lines.ts';
import type { NamedAddress } from './names.ts';
import { dnsmasqPaths } from './paths.ts';
import { recordsHeader } from './record-lines.ts';

/** The input of the file besides the configuration. */
export interface DnsmasqHost {
  /** Lines about single machines, as `wildcardLines` and `machineBootLines` return them. */
  readonly machineLines: readonly string[];
  /** Lines about records of libvirt's networks, as `recordLines` returns them. */
  readonly recordLines: readonly string[];
  /** The unprivileged user that dnsmasq changes to. */
  readonly user: string;
  /** False where dnsmasq would not start with /etc/resolv.conf. */
  readonly canWatchResolvConf: boolean;
  /**
   * The directory of the administrator's options; null when it has none. `digest` changes with their content.
   */
  readonly extras: { readonly directory: string; readonly digest: string } | null;
}

const header = '# Written by virlan: changes here are lost. Options of your own go into';

/** Returns whether virlan wrote a dnsmasq.conf, and not a person by hand. */
export function isWrittenByVirlan(conf: string): boolean {
  return conf.startsWith(header);
}

/** Returns the text of the file. It has no dhcp-script, which would run as root with what guests send. */
export function renderDnsmasqConf(network: NetworkConfig, host: DnsmasqHost): string {
  const files = dnsmasqPaths(network.bridge);
  const { range, subnet, leaseTimeSeconds, dns, domain } = network;
  const ends = `${formatIp(range.first)},${formatIp(range.last)}`;
  const lines = [
    header,
    `# /etc/virlan/dnsmasq.d/${network.name}/*.conf`,
    `user=${host.user}`,
    `pid-file=${files.pid}`,
    '',
    '# Answer on the bridge only, also when other instances run on this host.',
    'except-interface=lo',
    `interface=${network.bridge}`,
    'bind-dynamic',
    '',
    `dhcp-range=${ends},${formatIp(netmaskOf(subnet))},${formatIp(broadcastOf(subnet))},${leaseTimeSeconds}`,
    `dhcp-lease-max=${Math.max(1000, range.last - range.first + 1)}`,
    `dhcp-leasefile=${files.leases}`,
    `dhcp-hostsfile=${files.hostsfile}`,
    '# This is the only DHCP server of the network: answer at once to a machine that asks for an unknown address.',
    'dhcp-authoritative',
    '# Do not wait for an answer to a ping before each offer, while nobody else is answered: virlan asks on the',
    '# bridge before it reserves an address.',
    'no-ping',
    '# Avoid problems with old or broken clients.',
    'dhcp-no-override',
    '# A name is what virlan reserved, never what a guest claims.',
    'dhcp-ignore-names',
    ...(network.mode === 'isolated'
      ? ['# No router: machines reach only each other and this host.', 'dhcp-option=option:router']
      : []),
    ...(network.guard === 'no'
      ? []
      : ['# A guest that names itself anew with each message gets no further address.', 'dhcp-ignore-clid']),
    ...(network.strangers
      ? []
      : ['# Only machines of this host and devices of virlan.ini get an address.', 'dhcp-ignore=tag:!known']),
    ...(network.mtu === 1500 ? [] : [`dhcp-option=option:mtu,${network.mtu}`]),
    ...network.dhcpOptions.map(optionLine),
    ...bootLines(network),
    '',
    `domain=${domain}`,
    `local=/${domain}/`,
    'expand-hosts',
    'no-hosts',
    `addn-hosts=${files.names}`,
    '# The outside knows no names of these addresses.',
    `rev-server=${formatPrefix(subnet)}`,
    '# The outside knows neither names without a domain nor the names of private addresses.',
    'domain-needed',
    'bogus-priv',
    '# One machine may ask as many questions that nobody answers as the guard lets it, and others still find names.',
    `dns-forward-max=${waitingQuestions}`,
    // Without strict-order, a server that does not answer costs no time: the others are asked as well.
    ...(network.mode === 'isolated' ? ['no-resolv'] : []),
    ...(dns === 'host' && network.mode !== 'isolated' && !host.canWatchResolvConf
      ? [
          '# /etc/resolv.conf is a link into a directory that is missing: dnsmasq would not start.',
          'no-resolv',
        ]
      : []),
    ...(dns === 'host' ? [] : ['no-resolv', ...dns.map(server => `server=${formatIp(server)}`)]),
    ...(host.machineLines.length === 0 ? [] : ['', machinesHeader, ...host.machineLines]),
    ...(host.recordLines.length === 0 ? [] : ['', recordsHeader, ...host.recordLines]),
    ...(host.extras === null
      ? []
      : ['', `# Their content: ${host.extras.digest}`, `conf-dir=${host.extras.directory},*.conf`]),
  ];
  return `${lines.join('\n')}\n`;
}

/**
 * Returns the lines that make names in a domain stand for all names below them. Of a name that is local, too,
 * dnsmasq says that it has no IPv6 address; otherwise it would say that there is no such name.
 */
export function wildcardLines(wildcards: readonly NamedAddress[], domain: string): string[] {
  return wildcards.flatMap(({ ip, names }) =>
    names.flatMap(name => [`address=/${name}.${domain}/${formatIp(ip)}`, `local=/${name}.${domain}/`]),
  );
}
