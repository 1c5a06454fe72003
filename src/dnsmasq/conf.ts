import { broadcastOf, formatIp, netmaskOf } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';

/** Below it, each bridge has a directory of its own. */
export const dnsmasqRoot = '/var/lib/dnsmasq';

/** Paths of a network's dnsmasq, as in the recipe that people follow by hand. */
export function dnsmasqPaths(bridge: string) {
  const directory = `${dnsmasqRoot}/${bridge}`;
  return {
    directory,
    conf: `${directory}/dnsmasq.conf`,
    hostsfile: `${directory}/hostsfile`,
    leases: `${directory}/leases`,
    pid: `/run/dnsmasq/${bridge}.pid`,
  };
}

export interface DnsmasqHost {
  /** The unprivileged user that dnsmasq turns into. */
  readonly user: string;
  /** The directory of the user's own options; null when it holds none. `digest` changes with them. */
  readonly extras: { readonly directory: string; readonly digest: string } | null;
}

const header = '# Written by virlan: changes here are lost. Options of your own go into';

/** Whether this dnsmasq.conf is virlan's, and none that somebody made by hand. */
export function isWrittenByVirlan(conf: string): boolean {
  return conf.startsWith(header);
}

/** dnsmasq.conf of a network. No dhcp-script: it would run as root on what guests send. */
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
    '# Avoid problems with old or broken clients.',
    'dhcp-no-override',
    '# A name is what virlan reserved, never what a guest claims.',
    'dhcp-ignore-names',
    ...(network.mtu === 1500 ? [] : [`dhcp-option=option:mtu,${network.mtu}`]),
    '',
    `domain=${domain}`,
    `local=/${domain}/`,
    'expand-hosts',
    'no-hosts',
    ...(dns === 'host'
      ? ['# Ask the servers of /etc/resolv.conf in their order.', 'strict-order']
      : ['no-resolv']),
    ...(dns === 'host' ? [] : dns.map(server => `server=${formatIp(server)}`)),
    ...(host.extras === null
      ? []
      : ['', `# Their content: ${host.extras.digest}`, `conf-dir=${host.extras.directory},*.conf`]),
  ];
  return `${lines.join('\n')}\n`;
}
