// `virlan mac NAME`: prints a MAC of a machine.
import type { Values } from '../cli/table.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { predictNicMac } from '../operations/predict-identity.ts';
import { selectNetwork } from './networks.ts';

/** Prints the MAC that a NIC of a machine has or would get. Returns the exit code. */
export async function mac({ config, json, network: on, nic }: Values, name: string): Promise<number> {
  const network = selectNetwork(loadConfig(config), on);
  const { mac: found, given } = predictNicMac(network, { name, nic });
  if (json) printJson({ name, network: network.name, nic, mac: found, given });
  else print(found);
  return 0;
}
