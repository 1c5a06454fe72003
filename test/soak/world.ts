import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  startLibvirtd,
} from '../sandbox/host.ts';
import { startWatcher, stopWatcher } from '../sandbox/watcher.ts';
import { Random } from './random.ts';

export const bridge = 'k8s-br0';
const mac = '52:54:00:cc:00:02';

/** What the soak itself did to a machine, so that what it does next depends on the seed alone. */
export interface Machine {
  running: boolean;
  nics: number;
  /** The address it was seen to lease since it was started last. */
  leased: string | null;
}

/** The private host, as the soak knows it. */
export interface World {
  readonly random: Random;
  readonly machines: Map<string, Machine>;
  /** A namespace that is on the network all the time, with a reservation of the configuration's. */
  readonly web: Guest;
  readonly address: string;
  /** What is repaired → how often since the watcher started: at the third time it would be left alone. */
  readonly damages: Map<string, number>;
  /** How many machines and NICs there have been, for names and MACs that nobody had before. */
  count: number;
  opensPort: boolean;
}

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
    count: 0,
    opensPort: false,
  };
}

export function configuration(opensPort: boolean): string {
  const network = `[network.${bridge}]\nstp = no\n${opensPort ? 'host-allow = tcp/5000\n' : ''}`;
  return `${network}[host.web]\nnetwork = ${bridge}\nmac = ${mac}\nip = 192.168.100.250\n`;
}

export async function restartWatcher(world: World, signal: NodeJS.Signals): Promise<void> {
  await stopWatcher(signal);
  world.damages.clear();
  await startWatcher();
}
