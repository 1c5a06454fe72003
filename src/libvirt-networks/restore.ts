import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { listDirectory, readFileOrNull, writeAtomically } from '../system/files.ts';
import { libvirtPaths } from '../system/paths.ts';
import { carryOut, listNetworks, withLibvirt } from './client.ts';
import { decideRestoration, type KnownNetwork, type NetworkChange } from './decide.ts';
import { forgetKeptNetwork, readKeptNetwork } from './saved-network.ts';

/** What was done to put libvirt's networks back, and what could not be. */
export interface Restored {
  readonly actions: readonly NetworkChange[];
  readonly problems: readonly string[];
}

/** Puts libvirt's networks back as they were before virlan: by libvirt, or by its files where it does not run. */
export async function restoreNetworks(): Promise<Restored> {
  const kept = readKeptNetwork();
  const restored =
    (await withLibvirt(async client => {
      const actions = decideRestoration(await listNetworks(client), kept);
      const problems: string[] = [];
      for (const action of actions) {
        await carryOut(client, action).catch((error: Error) => {
          // The network is defined again: that its address is taken now, say, is for the user to look at.
          if (action.do !== 'start') throw error;
          problems.push(`libvirt's network ${action.name} is back, but does not start: ${error.message}`);
        });
      }
      return { actions, problems };
    })) ?? restoreByFiles(decideRestoration(networksOnDisk(), kept));
  forgetKeptNetwork();
  return restored;
}

function networksOnDisk(): KnownNetwork[] {
  const files = listDirectory(libvirtPaths.networks).filter(name => name.endsWith('.xml'));
  return files.flatMap(file => {
    const xml = readFileOrNull(`${libvirtPaths.networks}/${file}`) ?? '';
    const parsed = parseLibvirtNetwork(xml);
    if (!parsed.ok) return [];
    const active = existsSync(filesOf(parsed.value.name).active);
    const autostart = existsSync(filesOf(parsed.value.name).autostart);
    return [{ ...parsed.value, xml, active, autostart, persistent: true }];
  });
}

/** A libvirtd that starts takes its networks from these (networkStateInitialize in libvirt's bridge_driver.c). */
function filesOf(name: string) {
  return {
    definition: `${libvirtPaths.networks}/${name}.xml`,
    autostart: `${libvirtPaths.networkAutostart}/${name}.xml`,
    active: `${libvirtPaths.activeNetworks}/${name}.xml`,
  };
}

function restoreByFiles(actions: readonly NetworkChange[]): Restored {
  for (const action of actions) {
    const { definition, autostart, active } = filesOf(action.name);
    switch (action.do) {
      case 'destroy':
        rmSync(active, { force: true });
        break;
      case 'undefine':
        for (const path of [autostart, definition]) rmSync(path, { force: true });
        break;
      case 'define':
        writeAtomically(definition, action.xml, 0o600);
        break;
      case 'autostart':
        mkdirSync(libvirtPaths.networkAutostart, { recursive: true });
        symlinkSync(definition, autostart);
        break;
      case 'start':
        // That it was active comes of its autostart, which libvirtd sees to when it starts.
        break;
    }
  }
  return { actions, problems: [] };
}
