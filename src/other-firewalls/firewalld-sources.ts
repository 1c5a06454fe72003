// The sources of firewalld's zones: a packet from an address in one belongs to that zone, whatever link it comes in by.
import { type Prefix, parseAddressWithPrefix, prefixesOverlap, prefixOf } from '../address/ip.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import type { System } from '../system/system.ts';
import { callFirewalld } from './firewalld-calls.ts';

/** A source of a zone, as firewalld writes it: an address, a prefix, or `ipset:NAME`. */
export interface ZoneSource {
  readonly zone: string;
  readonly source: string;
}

/**
 * Returns the first source that has addresses of a subnet; null where there is none, or firewalld does not answer.
 * Zones that accept everything count, too.
 */
export async function findZoneSource(system: System, subnet: Prefix): Promise<ZoneSource | null> {
  try {
    const zones = await callFirewalld(system, 'zone.getActiveZones', [], listTimeoutSeconds);
    for (const each of sourcesOf(zones))
      if ((await prefixesOf(system, each.source)).some(prefix => prefixesOverlap(prefix, subnet)))
        return each;
  } catch {
    // The chain that drops is named without it.
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
