import type { Config, NetworkConfig } from '../../config/config.ts';
import { type Finding, failed } from '../finding.ts';
import type { HostFacts, MachineFacts } from './facts.ts';
import { gatherHost, gatherMachine, gatherNetwork } from './gather.ts';
import { judgeHost } from './judge-host.ts';
import { judgeMachine, judgeNic } from './judge-machine.ts';
import { judgeNetwork } from './judge-network.ts';

/** A finding, and what it is about: `host`, `network k8s-br0`, `machine web`. A machine's name is hostile. */
export interface Check extends Finding {
  readonly about: string;
}

/**
 * Looks at the host, at networks and, where one is named, at a machine, in the order of a packet's way: the first failure is
 * the cause, as far as it can be seen.
 */
export async function examine(config: Config, machine: string | null): Promise<Check[]> {
  const patient = machine === null ? null : await gatherMachine(machine, config);
  const host = gatherHost();
  const groups = await Promise.all([
    host.then(facts => ({ about: 'host', findings: judgeHost(facts) })),
    ...networksOf(config, patient).map(async network => ({
      about: `network ${network.name}`,
      findings: await examineNetwork(network, host),
    })),
    ...examineMachine(patient),
  ]);
  return groups.flatMap(({ about, findings }) => findings.map(finding => ({ about, ...finding })));
}

/** Those that a machine is on, or all. */
function networksOf({ networks }: Config, machine: MachineFacts | null): readonly NetworkConfig[] {
  const own = networks.filter(({ name }) => machine?.nics.some(nic => nic.network === name));
  return own.length === 0 ? networks : own;
}

async function examineNetwork(network: NetworkConfig, host: Promise<HostFacts>): Promise<Finding[]> {
  try {
    return judgeNetwork(await gatherNetwork(network, host), await host);
  } catch (error) {
    return [failed('bridge', (error as Error).message, null)];
  }
}

function examineMachine(machine: MachineFacts | null): { about: string; findings: Finding[] }[] {
  if (machine === null) return [];
  const about = `machine ${machine.name}`;
  const nics = machine.nics.map((nic, index) => ({
    about: machine.nics.length === 1 ? about : `${about} NIC ${index} (${nic.mac})`,
    findings: judgeNic(machine.name, nic),
  }));
  return [{ about, findings: judgeMachine(machine) }, ...nics];
}
