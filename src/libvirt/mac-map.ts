// Writes BRIDGE.macs: the MACs of each machine, in the form of libvirt's network driver
// (src/util/virmacmap.c), which writes none for a pass-through network. libnss_libvirt_guest finds a
// machine's leases by it, whatever host name the guest uses.
//   [{"domain": "web", "macs": ["52:54:00:c5:f2:a7"]}]

import { libvirtPaths } from '../system/paths.ts';

/** Returns the path of a bridge's file. */
export function macMapPath(bridge: string): string {
  return `${libvirtPaths.leaseStatus}/${bridge}.macs`;
}

/** Returns the text of the file, which has each machine once. */
export function formatMacMap(macs: ReadonlyMap<string, readonly string[]>): string {
  const entries = [...macs].map(([domain, own]) => ({ domain, macs: own }));
  return `${JSON.stringify(entries, null, 2)}\n`;
}
