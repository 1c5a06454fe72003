// `virlan ip NAME`: prints an address of a machine.
import { formatIp } from '../address/ip.ts';
import type { Values } from '../cli/options.ts';
import { print, printJson } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { VirlanError } from '../errors.ts';
import { problemText } from '../identity/problem-text.ts';
import { predictNicAddress } from '../operations/predict-identity.ts';
import { trailJson, trailText } from '../report/trail-text.ts';
import { forTerminal } from '../text.ts';
import { selectNetwork } from './networks.ts';

/**
 * Prints the address that a NIC of a machine has or would get; with --verbose also why. Returns the exit
 * code.
 */
export async function ip(options: Values, name: string): Promise<number> {
  const { json, nic, verbose } = options;
  const network = selectNetwork(loadConfig(options.config), options.network);
  const { address, given, problem, why } = await predictNicAddress(network, { name, nic });
  if (address === null) {
    const message = `${name} would get no address: dhcp-range of ${network.name} is used up: widen it`;
    throw new VirlanError('pool-exhausted', message);
  }
  const text = formatIp(address);
  if (json) {
    const trail = verbose ? { why: why.map(trailJson) } : {};
    printJson({ name, network: network.name, nic, ip: text, given, ...trail });
    return 0;
  }
  print(text);
  if (verbose) {
    const problems = problem === null ? [] : [problemText(problem)];
    print(...[...why.map(trailText), ...problems].map(line => `  ${forTerminal(line)}`));
  }
  return 0;
}
