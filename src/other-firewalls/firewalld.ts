// firewalld: the bridge gets a zone of its own that accepts everything, since virlan's rules decide and an
// accept of firewalld does not overrule them. The file of the zone is read when firewalld starts or reloads.
// Until then the bridge is in a zone that firewalld has already: a reload now would discard the runtime
// settings of others. When firewalld starts or reloads it flushes the tables of iptables, with virlan's rules
// and Docker's chains in them.
import { VirlanError } from '../errors.ts';
import { listTimeoutSeconds } from '../firewall/rules-reader.ts';
import { walkXml } from '../libvirt/xml.ts';
import { digest } from '../names/digest.ts';
import type { System } from '../system/system.ts';
import { callFirewalld } from './firewalld-calls.ts';
import { type Chain, type FirewalldSeen, firewalldTable, markOf, type RuleOf, trustedZone } from './model.ts';
import type { OtherFirewall } from './other-firewall.ts';

const zonesDirectory = '/etc/firewalld/zones';

const configurationFile = '/etc/firewalld/firewalld.conf';

/** Longest time for one change. */
const changeTimeoutSeconds = 4;

export const firewalld: OtherFirewall<'firewalld'> = {
  name: 'firewalld',
  needsIptables: () => false,
  async read(system, bridge, { chains }, unread) {
    const files = readFiles(system, bridge);
    if (files === null) return null;
    if (!chains.some(isFirewalldChain)) return { ...files, zone: null };
    try {
      return { ...files, zone: await readZone(system, bridge) };
    } catch (error) {
      unread(error as Error);
      return { ...files, zone: null };
    }
  },
  isPresent: ({ chains }) => chains.some(isFirewalldChain),
  answersFor: isFirewalldChain,
  wanted({ bridge }, _backend, { firewalld: seen, chains }) {
    if (seen === null || seen.claimedBy !== null) return [];
    const own = zoneName(bridge);
    const file = { kind: 'zone-file', zone: own, changed: false } as const;
    if (!chains.some(isFirewalldChain) || seen.zone === null) return [file];
    if (seen.zone === '') return [file, { kind: 'runtime-zone', zone: own }];
    return isOurs(bridge, seen) ? [file, { kind: 'runtime-zone', zone: seen.zone }] : [];
  },
  found(bridge, { firewalld: seen }) {
    if (seen === null) return [];
    const own = zoneName(bridge);
    const changed = seen.zoneFile !== zoneFile(bridge);
    const found: RuleOf<'firewalld'>[] = [];
    if (seen.zoneFile !== null) found.push({ kind: 'zone-file', zone: own, changed });
    if (seen.zone !== null && isOurs(bridge, seen)) found.push({ kind: 'runtime-zone', zone: seen.zone });
    return found;
  },
  async allow(system, bridge, rules) {
    for (const { kind, zone } of rules) {
      if (kind === 'zone-file') system.writeFile(zonePath(zone), zoneFile(bridge));
      else await joinZone(system, bridge, zone);
    }
  },
  async withdraw(system, bridge, rules) {
    for (const { kind, zone } of rules) {
      if (kind === 'zone-file') system.removeFile(zonePath(zone));
      else await callFirewalld(system, 'zone.removeInterface', [zone, bridge], changeTimeoutSeconds);
    }
  },
  describe(rule) {
    switch (rule.kind) {
      case 'zone-file':
        return `permanent zone ${rule.zone}${rule.changed ? ' (changed)' : ''}`;
      case 'runtime-zone':
        return `runtime zone ${rule.zone}`;
    }
  },
};

/**
 * Returns whether a chain is firewalld's: of its nftables backend, or of its iptables backend
 * (core/ipXtables.py).
 */
function isFirewalldChain({ family, table, name }: Chain): boolean {
  return table === firewalldTable || (family === 'ip' && table === 'filter' && name === 'INPUT_ZONES');
}

/**
 * Names the network's zone. The name becomes part of chain names: 17 characters at most (firewalld.zone(5)),
 * no dot.
 */
export function zoneName(bridge: string): string {
  const plain = markOf(bridge);
  if (plain.length <= 17 && !plain.includes('.')) return plain;
  return `virlan-${digest(bridge).toString('hex').slice(0, 10)}`;
}

/** Returns the text of the file of a bridge's own zone. */
export function zoneFile(bridge: string): string {
  return `<?xml version="1.0" encoding="utf-8"?>
<zone target="ACCEPT">
  <short>${zoneName(bridge)}</short>
  <description>Written by virlan, whose own rules say what the machines on ${bridge} may do.</description>
  <interface name="${bridge}"/>
</zone>
`;
}

function zonePath(zone: string): string {
  return `${zonesDirectory}/${zone}.xml`;
}

function readFiles(
  system: System,
  bridge: string,
): Pick<NonNullable<FirewalldSeen>, 'zoneFile' | 'claimedBy'> | null {
  const own = zoneName(bridge);
  const zones = system
    .listDirectory(zonesDirectory)
    .filter(name => name.endsWith('.xml'))
    .map(name => name.replace(/\.xml$/, ''));
  if (system.readFile(configurationFile) === null && !zones.includes(own)) return null;
  const claimedBy = zones.find(
    zone => zone !== own && hasInterface(system.readFile(zonePath(zone)) ?? '', bridge),
  );
  return { zoneFile: system.readFile(zonePath(own)), claimedBy: claimedBy ?? null };
}

/** Returns whether the file of a zone names a link. firewalld itself refuses what is no XML. */
function hasInterface(zone: string, link: string): boolean {
  let isNamed = false;
  walkXml(zone, {
    open(path, attributes) {
      isNamed ||= path === 'zone/interface' && attributes.get('name') === link;
    },
  });
  return isNamed;
}

/** Returns whether virlan put the bridge into its present zone; into `trusted` it does so only at runtime. */
function isOurs(bridge: string, { zone, zoneFile: file, claimedBy }: NonNullable<FirewalldSeen>): boolean {
  return zone === zoneName(bridge) || (zone === trustedZone && file !== null && claimedBy === null);
}

/** Returns the zone of a link, '' for none. Throws when firewalld does not answer in time. */
async function readZone(system: System, link: string): Promise<string> {
  const zone = await callFirewalld(system, 'zone.getZoneOfInterface', [link], listTimeoutSeconds);
  if (typeof zone !== 'string')
    throw new VirlanError('unreadable-firewall', 'firewalld replied without a zone');
  return zone;
}

/** Adds the bridge to a zone. firewalld knows the network's own zone only after it has read the file. */
async function joinZone(system: System, bridge: string, zone: string): Promise<void> {
  const known = await zoneNames(system);
  await callFirewalld(
    system,
    'zone.addInterface',
    [known.includes(zone) ? zone : trustedZone, bridge],
    changeTimeoutSeconds,
  );
}

async function zoneNames(system: System): Promise<readonly unknown[]> {
  const zones = await callFirewalld(system, 'zone.getZones', [], changeTimeoutSeconds);
  return Array.isArray(zones) ? zones : [];
}
