// Handles `virsh net-update` of a libvirt network: virlan serves the names and records that it adds with `dns-host`,
// `dns-txt` and `dns-srv`. libvirt refuses the parts that a pass-through network cannot have, and follows port groups
// itself. It does not heed a hook that fails: what is not served becomes a warning.
import type { Config, NetworkConfig } from '../config/config.ts';
import { dnsmasqPaths } from '../dnsmasq/paths.ts';
import { readRecordLines } from '../dnsmasq/record-lines.ts';
import { VirlanError } from '../errors.ts';
import { syncReservations } from '../identity/store.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { wantedRecordLines } from '../network/read-files.ts';
import { dnsWarnings } from '../network/survey-other-programs.ts';
import type { NetworkEvent } from '../report/event.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import { establishDnsmasq } from './establish-networks.ts';
import type { HookOutcome } from './hook-outcome.ts';
import { passedThroughTo } from './passed-through-to.ts';

/**
 * Serves the names and records of a network that libvirt has updated. They are read from libvirt's file of the
 * network, which it has written by now. Throws VirlanError when the XML cannot be read.
 */
export async function updateNetwork(xml: string, { networks }: Config): Promise<HookOutcome> {
  const updated = parseLibvirtNetwork(xml);
  if (!updated.ok)
    throw new VirlanError('unreadable-xml', `libvirt passed a network that cannot be read: ${updated.error}`);
  const network = passedThroughTo(networks, updated.value);
  if (network === undefined) return { events: [], abort: null };
  await syncReservations(network);
  return { events: await serveRecords(network), abort: null };
}

async function serveRecords(network: NetworkConfig): Promise<NetworkEvent[]> {
  const { name, bridge } = network;
  const wanted = wantedRecordLines(network);
  // Without the file, the network is not up.
  const found = () => {
    const conf = readOwnIfReadable(dnsmasqPaths(bridge).conf);
    return conf === null ? wanted : readRecordLines(conf);
  };
  const isOutdated = () => JSON.stringify(found()) !== JSON.stringify(wanted);
  // Most networks have none. Where there are some, a watcher that took too long to answer the hook may be at it.
  const events = wanted.length + found().length === 0 ? [] : await establishDnsmasq(network, isOutdated);
  return [
    ...events.filter(event => event.kind !== 'network-warning' || event.warning.kind !== 'libvirt-dns'),
    ...dnsWarnings(network).map(warning => ({ kind: 'network-warning', network: name, warning }) as const),
  ];
}
