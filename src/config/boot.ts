// Network boot and DHCP options: how their keys are read. Their values become lines of dnsmasq.conf, where a comma
// separates fields and a quotation mark or "#" has a meaning.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Boot, BootUrl, DhcpOption, PortRange } from './config.ts';

/** The characters of a URL (RFC 3986) without the comma, and "{}", between which iPXE reads its settings. */
const urlForm = /^(https?|tftp):\/\/([A-Za-z0-9.-]+)(?::(\d{1,5}))?\/[A-Za-z0-9._~:/?@!$&'()*+;=%{}[\]-]*$/;

const fileForm = /^[A-Za-z0-9._+@=~-]+(\/[A-Za-z0-9._+@=~-]+)*$/;

/** Reads the value of `boot`: a URL, or the name of a file below the directory of `tftp`; '' for none. */
export function parseBoot(text: string): Boot | '' | null {
  if (text === '') return '';
  const [, scheme, host = '', port] = urlForm.exec(text) ?? [];
  if (scheme === 'http' || scheme === 'https' || scheme === 'tftp') {
    const number = port === undefined ? defaultPorts[scheme] : Number(port);
    return number >= 1 && number <= 65_535 ? { kind: 'url', url: text, scheme, host, port: number } : null;
  }
  return fileForm.test(text) && !text.split('/').includes('..') ? { kind: 'file', file: text } : null;
}

/** Reads the `boot` of one machine: a URL. '' for none. */
export function parseBootUrl(text: string): BootUrl | '' | null {
  const boot = parseBoot(text);
  return boot === '' || boot?.kind === 'url' ? boot : null;
}

const defaultPorts = { http: 80, https: 443, tftp: 69 } as const;

/** Reads the value of `tftp`: an absolute path; '' for none. */
export function parseDirectory(text: string): string | null {
  const isPath = /^(\/[A-Za-z0-9._+@=~-]+)+\/?$/.test(text) && !text.split('/').includes('..');
  return text === '' || isPath ? text : null;
}

/**
 * The options that make up the protocol, or that say what the network is (RFC 2132): virlan, dnsmasq and their
 * clients rely on them.
 */
const ownOptions: readonly (number | string)[] = [
  ...[0, 1, 12, 15, 28, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 81, 82, 255],
  ...['netmask', 'broadcast', 'hostname', 'domain-name'],
];

/** Prefixes that dnsmasq does not read as a value (dnsmasq(8), --dhcp-option). */
const dnsmasqPrefix = /^(set|tag|encap|vendor|vi-encap|option6?):/;

/** Reads an item of `dhcp-option`, such as `ntp-server:10.0.0.1 10.0.0.2` or `66:server`. */
export function parseDhcpOption(text: string): DhcpOption | null {
  const [, code = '', value = ''] =
    /^(\d{1,3}|[a-z][a-z0-9+-]{0,40}):([A-Za-z0-9 ._~:/?@!$&'()*+;=%-]+)$/.exec(text) ?? [];
  const option = /^\d/.test(code) ? Number(code) : code;
  const values = value.split(' ').filter(word => word !== '');
  const isPrefixed = [`${code}:`, ...values].some(word => dnsmasqPrefix.test(word));
  if (code === '' || isPrefixed || values.length === 0 || ownOptions.includes(option)) return null;
  return typeof option === 'number' && option > 254 ? null : { option, values };
}

/** Returns the ports of the host that machines need for their network boot, from one of these. */
export function bootPorts(
  boots: readonly (Boot | null)[],
  tftp: string | null,
  gateway: Ipv4,
  domain: string,
): PortRange[] {
  const own = [formatIp(gateway), `gateway.${domain}`];
  const ports = boots.flatMap(boot => {
    const isServedHere = boot?.kind === 'url' && own.includes(boot.host.toLowerCase());
    return isServedHere && boot.scheme !== 'tftp' ? [boot.port] : [];
  });
  return [
    ...(tftp === null ? [] : [{ protocol: 'udp', first: 69, last: 69 } as const]),
    ...[...new Set(ports)].map(port => ({ protocol: 'tcp', first: port, last: port }) as const),
  ];
}
