// The file of a network's names, which dnsmasq reads like /etc/hosts: a name has its address before and
// without a lease. The first name of an address is the answer to a reverse query.
//   192.168.100.1 gateway
//   192.168.100.155 web api
//   192.168.100.60 registry # libvirt
import { formatIp, type IpAddress } from '../address/ip.ts';

/** Marks a line that comes from `<dns><host>` of a libvirt network. */
const libvirtMark = ' # libvirt';

/** Names of one address, the most important first. */
export interface NamedAddress {
  readonly ip: IpAddress;
  readonly names: readonly string[];
}

/** Returns the lines of the file. */
export function parseNames(text: string): string[] {
  return text.split('\n').filter(line => line !== '');
}

/** Returns the text of the file. */
export function formatNames(lines: readonly string[]): string {
  return lines.map(line => `${line}\n`).join('');
}

/** Returns the addresses that each name has in the text of the file. */
export function addressesByName(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const line of parseNames(text)) {
    const [address = '', ...names] = line.replace(libvirtMark, '').split(' ');
    for (const name of names) found.set(name, [...(found.get(name) ?? []), address]);
  }
  return found;
}

/** Returns the line for an address of virlan's. */
export function nameLine({ ip, names }: NamedAddress): string {
  return [formatIp(ip), ...names].join(' ');
}

/** Returns the lines for addresses of virlan's and then of libvirt's. The first to have a name keeps it. */
export function nameLines(own: readonly NamedAddress[], libvirt: readonly NamedAddress[]): string[] {
  const taken = new Set<string>();
  const lines = (named: readonly NamedAddress[], mark: string) =>
    named.flatMap(({ ip, names }) => {
      const free = names.filter(name => !taken.has(name) && taken.add(name));
      return free.length === 0 ? [] : `${nameLine({ ip, names: free })}${mark}`;
    });
  return [...lines(own, ''), ...lines(libvirt, libvirtMark)];
}

/**
 * Returns the lines of a file with the names of some addresses changed; null when nothing changes. libvirt's
 * lines lose the names that virlan gives.
 */
export function withNames(
  text: string,
  before: readonly NamedAddress[],
  after: readonly NamedAddress[],
): string[] | null {
  const added = after.map(nameLine);
  const removed = new Set(before.map(nameLine));
  for (const line of added) removed.delete(line);
  if (added.every(line => hasLine(text, line)) && ![...removed].some(line => hasLine(text, line)))
    return null;
  const addresses = new Set(after.map(({ ip }) => formatIp(ip)));
  const taken = new Set(after.flatMap(({ names }) => names));
  const lines = parseNames(text);
  const own = lines.filter(line => !line.endsWith(libvirtMark));
  const kept = own.filter(line => !removed.has(line) && !addresses.has(line.slice(0, line.indexOf(' '))));
  const libvirt = lines.filter(line => line.endsWith(libvirtMark));
  return [...kept, ...added, ...libvirt.flatMap(line => withoutNames(line, taken))];
}

function hasLine(text: string, line: string): boolean {
  return text.startsWith(`${line}\n`) || text.includes(`\n${line}\n`);
}

function withoutNames(line: string, taken: ReadonlySet<string>): string[] {
  const [address = '', ...names] = line.slice(0, -libvirtMark.length).split(' ');
  const free = names.filter(name => !taken.has(name));
  return free.length === 0 ? [] : [`${[address, ...free].join(' ')}${libvirtMark}`];
}
