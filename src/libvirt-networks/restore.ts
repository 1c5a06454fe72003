// Restores libvirt's networks when virlan is uninstalled: by calls to libvirt, or by its files where libvirtd
// is down.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { listDirectory, readFileOrNull, writeAtomically } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import {
  decideRestoration,
  type KnownNetwork,
  type LibvirtNetworkProblem,
  type NetworkChange,
} from './decide.ts';
import { changeNetwork, listNetworks, withLibvirt, withNetworksLock } from './network-calls.ts';
import { readSavedNetwork, removeSavedNetwork } from './saved-network.ts';

/** The changes that were made, and the problems that prevented others. */
export interface Restored {
  readonly actions: readonly NetworkChange[];
  readonly problems: readonly LibvirtNetworkProblem[];
}

/**
 * Restores libvirt's networks as they were before virlan. Throws VirlanError when the saved network is
 * damaged, and the errors of libvirt, of the connection to it and of the file system.
 */
export function restoreNetworks(): Promise<Restored> {
  return withNetworksLock(async () => {
    const saved = readSavedNetwork();
    const byLibvirt = await withLibvirt('network', async client =>
      restoreBy(decideRestoration(await listNetworks(client), saved), change =>
        changeNetwork(client, change),
      ),
    );
    const restored = byLibvirt ?? restoreByFiles(decideRestoration(readNetworkFiles(), saved));
    removeSavedNetwork();
    return restored;
  });
}

/**
 * Makes changes one after the other. A network that does not start is a problem; any other failure is thrown.
 */
export async function restoreBy(
  changes: readonly NetworkChange[],
  makeChange: (change: NetworkChange) => Promise<void>,
): Promise<Restored> {
  const actions: NetworkChange[] = [];
  const problems: LibvirtNetworkProblem[] = [];
  for (const change of changes) {
    try {
      await makeChange(change);
      actions.push(change);
    } catch (error) {
      // It is defined again. Why it does not start, for example because its address is in use, is for the
      // user.
      if (change.kind !== 'start') throw error;
      problems.push({ kind: 'start-failed', name: change.name, error: messageOf(error) });
    }
  }
  return { actions, problems };
}

function readNetworkFiles(): KnownNetwork[] {
  const files = listDirectory(libvirtPaths.networks).filter(name => name.endsWith('.xml'));
  return files.flatMap(file => {
    const xml = readFileOrNull(`${libvirtPaths.networks}/${file}`) ?? '';
    const parsed = parseLibvirtNetwork(xml);
    if (!parsed.ok) return [];
    const active = existsSync(filesOf(parsed.value.name).active);
    const autostart = existsSync(filesOf(parsed.value.name).autostart);
    return [{ ...parsed.value, xml, active, autostart, persistent: true, connections: 0 }];
  });
}

/**
 * Files from which a starting libvirtd reads its networks (networkStateInitialize in libvirt's
 * bridge_driver.c).
 */
function filesOf(name: string) {
  return {
    definition: `${libvirtPaths.networks}/${name}.xml`,
    autostart: `${libvirtPaths.networkAutostart}/${name}.xml`,
    active: `${libvirtPaths.activeNetworks}/${name}.xml`,
  };
}

/** Only libvirtd can start a network: it starts an autostarted one when it starts itself. */
function restoreByFiles(changes: readonly NetworkChange[]): Restored {
  const actions = changes.filter(({ kind }) => kind !== 'start');
  for (const change of actions) changeFiles(change);
  return { actions, problems: [] };
}

function changeFiles(change: NetworkChange): void {
  const { definition, autostart, active } = filesOf(change.name);
  switch (change.kind) {
    case 'destroy':
      rmSync(active, { force: true });
      return;
    case 'undefine':
      for (const path of [autostart, definition]) rmSync(path, { force: true });
      return;
    case 'define':
      writeAtomically(definition, change.xml, 0o600);
      return;
    case 'autostart':
      mkdirSync(libvirtPaths.networkAutostart, { recursive: true });
      // A link that leads nowhere counts as missing.
      rmSync(autostart, { force: true });
      symlinkSync(definition, autostart);
      return;
    case 'start':
      return;
  }
}
