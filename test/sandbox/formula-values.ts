import assert from 'node:assert/strict';
import { formatIp } from '../../src/address/ip.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { formulaAddress } from '../../src/identity/formula.ts';
import { poolOf } from '../../src/identity/pool.ts';

/** The address that the formula gives a machine on the first network of a configuration while nobody else has one. */
export function formulaAddressOf(machine: string, nic = 0, config = ''): string {
  const parsed = parseConfig(config);
  assert(parsed.ok);
  const [network] = parsed.config.networks;
  assert(network);
  const address = formulaAddress({ network: network.name, machine, nic }, poolOf(network), () => false);
  assert(address !== null);
  return formatIp(address);
}
