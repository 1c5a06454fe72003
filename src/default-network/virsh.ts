import { rmSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { writeAtomically } from '../host/files.ts';
import { paths } from '../host/paths.ts';
import { ask, run } from '../host/run.ts';
import { definedDomains, runningDomains } from '../libvirt/definitions.ts';
import { parseLibvirtNetwork } from '../libvirt/network-xml.ts';
import { decideNetworks, type KnownNetwork, type NetworkAction } from './decide.ts';
import { keepNetwork } from './kept.ts';

/** Brings libvirt's networks in line, and gives what could not be. Null when no libvirtd answers. Never to be called in a hook. */
export async function arrangeNetworks(
  config: Config,
): Promise<{ actions: readonly NetworkAction[]; problems: readonly string[] } | null> {
  const known = await listNetworks();
  if (known === null) return null;
  const decision = decideNetworks(config, known, definedDomains(), runningDomains());
  for (const action of decision.actions) await carryOut(action);
  return decision;
}

async function listNetworks(): Promise<KnownNetwork[] | null> {
  const lists = await Promise.all(
    [['--all'], [], ['--all', '--autostart'], ['--all', '--persistent']].map(options =>
      ask('virsh', ['--connect', 'qemu:///system', 'net-list', '--name', ...options]),
    ),
  );
  const [all, active, autostart, persistent] = lists.map(
    list => list?.split('\n').filter(name => name !== '') ?? null,
  );
  if (!all || !active || !autostart || !persistent) return null;
  const networks = await Promise.all(
    all.map(async name => {
      const xml = await virsh(
        'net-dumpxml',
        ...(persistent.includes(name) ? ['--inactive'] : []),
        '--network',
        name,
      );
      const parsed = parseLibvirtNetwork(xml);
      const state = {
        active: active.includes(name),
        autostart: autostart.includes(name),
        persistent: persistent.includes(name),
      };
      return parsed.ok ? [{ ...parsed.value, ...state, xml }] : [];
    }),
  );
  return networks.flat();
}

async function carryOut(action: NetworkAction): Promise<void> {
  switch (action.do) {
    case 'keep':
      return keepNetwork(action.network);
    case 'define': {
      // virsh opens what it reads by its path, which the socket that Node makes of stdin does not have.
      const file = `${paths.run}/${action.name}.network.xml`;
      writeAtomically(file, action.xml, 0o600);
      await virsh('net-define', '--file', file).finally(() => rmSync(file));
      return;
    }
    case 'start':
      await virsh('net-start', '--network', action.name);
      return;
    case 'autostart':
      await virsh('net-autostart', '--network', action.name);
      return;
    case 'destroy':
      await virsh('net-destroy', '--network', action.name);
      return;
    case 'undefine':
      await virsh('net-undefine', '--network', action.name);
      return;
  }
}

function virsh(...args: string[]): Promise<string> {
  return run('virsh', ['--connect', 'qemu:///system', ...args]);
}
