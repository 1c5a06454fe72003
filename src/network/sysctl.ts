// Sysctls: names and values under /proc/sys. A key as sysctl(8) writes it: `net.ipv4.ip_forward`.
import type { Family } from '../address/ip.ts';

/** Returns a link's name as sysctl(8) writes it within a key, where a dot separates. */
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

/** Reads the values of keys through `readFile`; a key that this kernel or this link does not have is left out. */
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
