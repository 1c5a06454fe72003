// Prevents libvirt from starting its network `default`, by libvirt's files alone: for the daemon hook.
import { existsSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { isPassThrough, parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { readFileOrNull, removeFile } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import { defaultName, findSuccessor, ownersChange } from './decide.ts';
import { saveNetwork } from './saved-network.ts';

/**
 * Removes the autostart link of `default`, as `virsh net-autostart --disable` would (networkSetAutostart in
 * libvirt's bridge_driver.c). The daemon hook calls this before libvirt reads the link; it must not call
 * libvirt. Returns whether the link existed. Throws VirlanError when the saved network is damaged.
 */
export function preventDefaultNetwork(config: Config): boolean {
  const successor = findSuccessor(config);
  const link = `${libvirtPaths.networkAutostart}/${defaultName}.xml`;
  const xml = readFileOrNull(`${libvirtPaths.networks}/${defaultName}.xml`);
  if (successor === null || xml === null || !existsSync(link)) return false;
  const parsed = parseLibvirtNetwork(xml);
  if (parsed.ok && isPassThrough(parsed.value, successor.bridge)) return false;
  if (ownersChange(successor, xml) !== null) return false;
  saveNetwork({ xml, autostart: true, active: true });
  // The hook of another daemon may run at the same time and remove the link first.
  removeFile(link);
  return true;
}
