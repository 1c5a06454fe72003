import { existsSync, rmSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { readFileOrNull } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import { defaultName, isPassThrough } from './decide.ts';
import { keepNetwork } from './saved-network.ts';

/**
 * Keeps libvirt from starting its default network, by the link that `virsh net-autostart --disable` would remove too
 * (networkSetAutostart in libvirt's bridge_driver.c). For the daemon hook, which runs before libvirt reads it and must
 * not call libvirt. True when the link was there.
 */
export function preventDefaultNetwork(config: Config): boolean {
  const successor = config.networks.find(network => network.defaultNetwork !== 'keep');
  const link = `${libvirtPaths.networkAutostart}/${defaultName}.xml`;
  const xml = readFileOrNull(`${libvirtPaths.networks}/${defaultName}.xml`);
  if (successor === undefined || xml === null || !existsSync(link)) return false;
  const parsed = parseLibvirtNetwork(xml);
  if (parsed.ok && isPassThrough(parsed.value, successor.bridge)) return false;
  keepNetwork({ xml, autostart: true, active: true });
  // Another daemon's hook, at the same time, may have been quicker.
  rmSync(link, { force: true });
  return true;
}
