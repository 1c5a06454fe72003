// Reads sysctls and converts their names. A key in the notation of sysctl(8): `net.ipv4.ip_forward`.
import type { Family } from '../../address/ip.ts';

/** Returns a link's name in the notation of sysctl(8), where a dot separates the parts of a key. */
export function sysctlName(link: string): string {
  return link.replaceAll('.', '/');
}

/** Returns the key of a setting of one link (or of `all`) and family. */
export function linkSysctl(family: Family, link: string, setting: string): string {
  return `net.${family}.conf.${sysctlName(link)}.${setting}`;
}

/** Returns the file of a key: within a link's name "/" stands for a dot. */
export function sysctlPath(key: string): string {
  return `/proc/sys/${key.replace(/[./]/g, char => (char === '.' ? '/' : '.'))}`;
}

export const ipForward = 'net.ipv4.ip_forward';

/** Returns the keys of what the kernel changes when `net.ipv4.ip_forward` is written. */
export function forwardingConsequences(links: readonly string[]): string[] {
  return [...changesOfForwarding(links, true).keys()];
}

/**
 * Returns what the kernel changes when `net.ipv4.ip_forward` or `conf.all.forwarding` is switched on or off
 * (inet_forward_change in net/ipv4/devinet.c). `links` are all links, `all` and `default`.
 */
export function changesOfForwarding(links: readonly string[], isOn: boolean): Map<string, string> {
  return new Map([
    [linkSysctl('ipv4', 'all', 'accept_redirects'), isOn ? '0' : '1'],
    ...links
      .filter(link => link !== 'all')
      .map(link => [linkSysctl('ipv4', link, 'forwarding'), isOn ? '1' : '0'] as const),
  ]);
}

/** Reads the values of keys through `readFile`; keys that do not exist are left out. */
export function readSysctls(
  keys: Iterable<string>,
  readFile: (path: string) => string | null,
): Map<string, string> {
  return new Map(
    [...keys].flatMap(key => {
      const value = readFile(sysctlPath(key))?.trim();
      return value === undefined ? [] : [[key, value] as const];
    }),
  );
}
