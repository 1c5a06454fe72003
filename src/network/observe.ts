import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import { findDnsmasq } from '../dnsmasq/process.ts';
import { readHostsfile } from '../identity/store.ts';
import { foundForeign } from '../other-firewalls/desired.ts';
import type { ForeignFirewalls } from '../other-firewalls/model.ts';
import { readFileOrNull } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { type Applied, readApplied } from './applied-record.ts';
import {
  type IpRoute,
  type Link,
  type LinksAndRoutes,
  listRules,
  readSysctl,
  type SavedRules,
} from './links.ts';
import { formatAddress, formatDestination } from './plan.ts';
import type {
  Backend,
  BridgeState,
  DesiredNetwork,
  FoundRules,
  HostState,
  LinkAddress,
  ObservedNetwork,
} from './state.ts';

/** What is there of just what is wanted. Throws when a link of that name is no bridge. */
export function observeNetwork(
  desired: DesiredNetwork,
  { links, routes }: LinksAndRoutes,
  rules: ObservedNetwork['rules'],
  others: ForeignFirewalls,
): ObservedNetwork {
  const { bridge } = desired;
  const applied = readApplied(bridge);
  const link = links.find(({ name }) => name === bridge);
  const nic = links.find(({ name }) => name === desired.nic.name);
  if (link !== undefined && (link.type !== 'bridge' || link.mac === null)) {
    throw new Error(
      `${bridge} is a link of type ${link.type ?? 'unknown'}, no bridge: rename it, or set bridge = in virlan.ini`,
    );
  }
  return {
    link: link === undefined || link.mac === null ? null : { ...link, mac: link.mac },
    nic: nic === undefined || nic.mac === null ? null : { mac: nic.mac, up: nic.up, master: nic.master },
    ownAddresses: (link?.addresses ?? []).filter(address =>
      applied.addresses.includes(formatAddress(address)),
    ),
    unrouted: desired.link === null ? [] : findUnrouted(desired.link, link, routes),
    orphanTaps: desired.taps.filter(tap => links.some(({ name, master }) => name === tap && master === null)),
    sysctls: readSysctls(desired.sysctls.keys()),
    rules,
    foreign: foundForeign(bridge, others),
    dnsmasq: { conf: readFileOrNull(dnsmasqPaths(bridge).conf), pid: findDnsmasq(bridge) },
    reservations: desired.reservations === null ? [] : readHostsfile(bridge).ours,
  };
}

/** The kernel keeps routes only while the link is up. */
function findUnrouted(
  wanted: BridgeState,
  found: Link | undefined,
  routes: readonly IpRoute[],
): LinkAddress[] {
  if (found?.up !== true || !wanted.up) return [];
  return wanted.addresses.filter(address => {
    const isThere = found.addresses.some(other => formatAddress(other) === formatAddress(address));
    const destination = formatDestination(address);
    return isThere && !routes.some(({ dst, dev }) => dst === destination && dev === found.name);
  });
}

export function observeHost(desired: HostState): HostState {
  return { sysctls: readSysctls(desired.sysctls.keys()), sysctlFile: readFileOrNull(paths.sysctl) };
}

function readSysctls(keys: Iterable<string>): Map<string, string> {
  return new Map(
    [...keys].flatMap(key => {
      const value = readSysctl(key);
      return value === null ? [] : [[key, value] as const];
    }),
  );
}

/** What each backend lists of virlan's rules for a bridge. */
export async function observeRules(
  bridge: string,
  backends: readonly Backend[],
  save: SavedRules,
): Promise<ObservedNetwork['rules']> {
  const applied = readApplied(bridge);
  const [nftables, iptables] = await Promise.all([
    findRules('nftables', bridge, backends, applied, save),
    findRules('iptables', bridge, backends, applied, save),
  ]);
  return { nftables, iptables };
}

async function findRules(
  backend: Backend,
  bridge: string,
  backends: readonly Backend[],
  applied: Applied,
  save: SavedRules,
): Promise<FoundRules> {
  if (!backends.includes(backend)) return { loaded: null, present: false, drift: [] };
  const listing = await listRules(backend, bridge, save);
  const record = applied.rules[backend];
  return {
    loaded: record?.script ?? null,
    present: listing.length > 0,
    drift: record === undefined || listing.length === 0 ? [] : compareLines(record.listing, listing),
  };
}

function compareLines(before: readonly string[], now: readonly string[]): string[] {
  const missing = before.filter(line => !now.includes(line)).map(line => `- ${line.trim()}`);
  const added = now.filter(line => !before.includes(line)).map(line => `+ ${line.trim()}`);
  const isMoved = missing.length + added.length === 0 && before.join('\n') !== now.join('\n');
  return isMoved ? ['rules stand in another order, or twice'] : [...missing, ...added];
}
