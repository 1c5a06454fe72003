// world.ts: the private host of the soak, and what the soak has done to it.
import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  startLibvirtd,
} from '../../sandbox/host.ts';
import { startWatcher, stopWatcher } from '../../sandbox/watcher.ts';
import { Random } from '../random.ts';

export const bridge = 'k8s-br0';
const mac = '52:54:00:cc:00:02';

/** A machine as the soak has changed it. No state is read back, so that actions depend on the seed alone. */
export interface Machine {
  running: boolean;
  nics: number;
  /** The address that it has leased since its last start. */
  leased: string | null;
}

/** The state of the soak. */
export interface World {
  readonly random: Random;
  readonly machines: Map<string, Machine>;
  /** A namespace that is always on the network, as the host `web` of the configuration. */
  readonly web: Guest;
  readonly address: string;
  /** Repaired unit → number of damages since the watcher started. It pauses after the third. */
  readonly damages: Map<string, number>;
  /** The resident memory of the current watcher after each step. */
  readonly memory: { pid: number | null; mib: number[] };
  /** Number of machines and NICs so far, for unique names and MACs. */
  count: number;
  opensPort: boolean;
}

/** Starts libvirtd, the watcher and the namespace `web` on the private host. */
export async function makeWorld(seed: number): Promise<World> {
  await installVirlan();
  await configure(configuration(false));
  await startLibvirtd();
  await startWatcher();
  await internet();
  const web = await guest('web', { mac });
  const address = await dhcp(web);
  return {
    random: new Random(seed),
    machines: new Map(),
    web,
    address,
    damages: new Map(),
    memory: { pid: null, mib: [] },
    count: 0,
    opensPort: false,
  };
}

/** Returns virlan.ini, with port 5000 of the host open to machines or not. */
export function configuration(opensPort: boolean): string {
  const network = `[network.${bridge}]\nstp = no\n${opensPort ? 'host-allow = tcp/5000\n' : ''}`;
  return `${network}[host.web]\nnetwork = ${bridge}\nmac = ${mac}\nip = 192.168.100.250\n`;
}

/** Ends the watcher by a signal and starts it again, which resets the counts of damages. */
export async function restartWatcher(world: World, signal: NodeJS.Signals): Promise<void> {
  await stopWatcher(signal);
  world.damages.clear();
  await startWatcher();
}
