// Reads what else than virlan takes the packets of one machine on this host. Sends none.

import { parseIpv4 } from '../../address/ip.ts';
import type { NetworkConfig } from '../../config/config.ts';
import { readUplink } from '../../network/routes/uplink.ts';
import type { HostRules } from '../../other-firewalls/base-chains.ts';
import { system } from '../../system/system.ts';
import type { MachinePort } from '../machine-details.ts';
import { promiseOf } from '../probe/promise.ts';
import { readRuleDrops } from '../probe/rule-drops.ts';
import { readTakings } from '../probe/takings.ts';
import type { PassageFacts } from './facts.ts';

/** Reads the rules and policies of other programs that take packets of a machine for certain. */
export async function readPassage(
  network: NetworkConfig,
  port: MachinePort,
  rules: HostRules,
): Promise<PassageFacts> {
  const uplink = await readUplink(system, network.bridge, port.ip);
  const isOutside = uplink.kind === 'via' && promiseOf(network, uplink) !== 'kept-inside';
  const { dev: outside, gateway: nextHop } = isOutside ? uplink : { dev: null, gateway: null };
  const path = { ...port, gateway: network.gateway, outside, nextHop: parseIpv4(nextHop ?? '') };
  const [drops, takings] = await Promise.all([readRuleDrops(system, rules, path), readTakings(system, path)]);
  return { port, drops, takings };
}
