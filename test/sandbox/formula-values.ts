// The address and MAC that virlan's formula assigns to a machine, for comparison with what it really gets.
import assert from 'node:assert/strict';
import { formatIp } from '../../src/address/ip.ts';
import type { Mac } from '../../src/address/mac.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { formulaAddress, formulaMac } from '../../src/identity/formula.ts';
import { poolOf } from '../../src/identity/pool.ts';

/**
 * Returns the formula's address for a NIC on the first network of a configuration, with no other address
 * taken.
 */
export function formulaAddressOf(machine: string, nic = 0, config = ''): string {
  const parsed = parseConfig(config);
  assert(parsed.ok);
  const [network] = parsed.config.networks;
  assert(network);
  const address = formulaAddress({ network: network.name, machine, nic }, poolOf(network), () => 0);
  assert(address !== null);
  return formatIp(address);
}

/** Returns the formula's MAC for a NIC on network k8s-br0, with no other MAC taken. */
export function formulaMacOf(machine: string, nic = 0): Mac {
  return formulaMac({ network: 'k8s-br0', machine, nic }, () => false);
}
