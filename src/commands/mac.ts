// `virlan mac NAME`: prints a MAC of a machine.
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { predictNicMac } from '../operations/predict-identity.ts';
import { trailJson, trailText } from '../report/trail-text.ts';
import { forTerminal } from '../text.ts';
import { selectNetwork } from './networks.ts';

/**
 * Prints the MAC that a NIC of a machine has or would get; with --verbose also why. Returns the exit code.
 */
export async function mac(options: Values, name: string): Promise<number> {
  const { json, nic, verbose } = options;
  const network = selectNetwork(loadConfig(options.config), options.network);
  const { mac: found, given, why } = predictNicMac(network, { name, nic });
  const trail = verbose ? why : [];
  if (json) {
    const reasons = verbose ? { why: trail.map(trailJson) } : {};
    printJson({ name, network: network.name, nic, mac: found, given, ...reasons });
  } else print(found, ...trail.map(step => `  ${forTerminal(trailText(step))}`));
  return 0;
}
