// The part of `virlan up` after networks are established: the log, libvirt's files and networks, remains of
// probes.
import type { NetworkConfig } from '../config/config.ts';
import { clearProbe } from '../diagnosis/probe/probe.ts';
import { promisedAddresses } from '../dnsmasq/hostsfile.ts';
import { endLeasesInTheWay, readHostsfile } from '../identity/store.ts';
import { arrangeNetworksOnce, type ConfigOfFile } from '../libvirt-networks/arrange.ts';
import type { NetworkDecision } from '../libvirt-networks/decide.ts';
import type { Established } from '../network/established.ts';
import { isTakenDown } from '../network/records/applied-record.ts';
import { libvirtEvents } from '../report/libvirt-events.ts';
import { changeEvents } from '../report/network-events.ts';
import { publishNetwork } from './publish.ts';
import { writeEvents } from './write-events.ts';

export type EstablishedNetwork = { readonly network: NetworkConfig } & Established;

/** Returns the changes of libvirt's networks; null when no libvirtd answers. */
export async function finishUp(
  from: ConfigOfFile,
  established: readonly EstablishedNetwork[],
): Promise<NetworkDecision | null> {
  await writeEvents(
    established.flatMap(({ network, ...change }) => changeEvents(network, 'network-established', change)),
  );
  for (const { network } of established) {
    await publishOrLog(network);
    await clearProbe(network);
    await endLeasesInTheWay(network, promisedAddresses(readHostsfile(network), network));
  }
  const libvirt = await arrangeNetworksOnce(from, isTakenDown);
  await writeEvents(libvirt === null ? [] : libvirtEvents(libvirt));
  return libvirt;
}

/** The network is up without the files that libvirt's tools read. */
async function publishOrLog(network: NetworkConfig): Promise<void> {
  try {
    publishNetwork(network);
  } catch (error) {
    await writeEvents([{ kind: 'failed', during: 'file-change', error: error as Error }]);
  }
}
