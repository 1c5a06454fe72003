// The sources of firewalld's zones: a packet from an address in one belongs to that zone, whatever link it comes in by.
import { type Ipv4, type Prefix, parseAddressWithPrefix, prefixContains, prefixOf } from '../address/ip.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { callFirewalld } from './firewalld-calls.ts';
import { trustedZone } from './model.ts';

/** A source of a zone, as firewalld writes it: an address, a prefix, or `ipset:NAME`. */
export interface ZoneSource {
  readonly zone: string;
  readonly source: string;
}

/**
 * Returns the first source that has an address, of a zone that does not accept everything; null where there is none, or
 * firewalld does not answer.
 */
export async function findZoneSource(system: System, address: Ipv4): Promise<ZoneSource | null> {
  const zones = await callFirewalld(system, 'zone.getActiveZones', [], listTimeoutSeconds).catch(() => null);
  for (const each of sourcesOf(zones)) {
    if (each.zone === trustedZone) continue;
    // The chain that drops is named without a source that cannot be read.
    const prefixes = await prefixesOf(system, each.source).catch(() => []);
    if (prefixes.some(prefix => prefixContains(prefix, address))) return each;
  }
  return null;
}

/** Reads `{"internal":{"sources":["192.168.0.0/16"]},"public":{"interfaces":["eth0"]}}`. */
function sourcesOf(zones: unknown): ZoneSource[] {
  if (typeof zones !== 'object' || zones === null) return [];
  return Object.entries(zones).flatMap(([zone, uses]: [string, { sources?: unknown } | null]) =>
    strings(uses?.sources).map(source => ({ zone, source })),
  );
}

async function prefixesOf(system: System, source: string): Promise<Prefix[]> {
  const [, set] = /^ipset:(.+)$/.exec(source) ?? [];
  const entries =
    set === undefined
      ? [source]
      : strings(await callFirewalld(system, 'ipset.getEntries', [set], listTimeoutSeconds));
  return entries.flatMap(entry => {
    const parsed = parseAddressWithPrefix(entry.includes('/') ? entry : `${entry}/32`);
    return parsed === null ? [] : [prefixOf(parsed.address, parsed.length)];
  });
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : [];
}
