// The checks of `virlan doctor`: reads facts and has them judged.
import type { Config, NetworkConfig } from '../../config/config.ts';
import { messageOf } from '../../errors.ts';
import { type Finding, fail } from '../finding.ts';
import type { DoctorHostFacts, MachineFacts } from './facts.ts';
import { judgeHost } from './judge-host.ts';
import { judgeMachine, judgeNic } from './judge-machine.ts';
import { judgeNetwork } from './judge-network.ts';
import { readHostFacts } from './read-host.ts';
import { readMachineFacts } from './read-machine.ts';
import { readNetworkFacts } from './read-network.ts';

/** A finding and its subject: `host`, `network k8s-br0`, `machine web`. A machine's name is hostile. */
export interface Check extends Finding {
  readonly about: string;
}

/**
 * Checks the host, the networks and, where one is named, a machine. The checks are in the order of a packet's
 * way, so that the first failure is the cause of the others, as far as it can be seen. `done` is called with those
 * of each subject as soon as they are made.
 */
export async function examine(
  config: Config,
  machineName: string | null,
  done: (checks: readonly Check[]) => void = () => {},
): Promise<Check[]> {
  const machine = machineName === null ? null : await readMachineFacts(machineName, config);
  const host = readHostFacts(config);
  const groups = [
    host.then(facts => ({ about: 'host', findings: judgeHost(facts) })),
    ...networksOf(config, machine).map(async network => ({
      about: `network ${network.name}`,
      findings: await examineNetwork(network, host),
    })),
    ...(machine === null ? [] : examineMachine(machine)).map(group => Promise.resolve(group)),
  ];
  const checks = await Promise.all(
    groups.map(async group => {
      const { about, findings } = await group;
      const made = findings.map(finding => ({ about, ...finding }));
      done(made);
      return made;
    }),
  );
  return checks.flat();
}

/** Returns the networks that a machine is on; all of them without a machine, or with one that is on none. */
function networksOf({ networks }: Config, machine: MachineFacts | null): readonly NetworkConfig[] {
  const own = networks.filter(({ name }) => machine?.nics.some(nic => nic.network === name));
  return own.length === 0 ? networks : own;
}

async function examineNetwork(network: NetworkConfig, host: Promise<DoctorHostFacts>): Promise<Finding[]> {
  try {
    return judgeNetwork(await readNetworkFacts(network, host), await host);
  } catch (error) {
    return [fail('bridge', { kind: 'network-unreadable', message: messageOf(error) })];
  }
}

function examineMachine({ name, ...facts }: MachineFacts): { about: string; findings: Finding[] }[] {
  const about = `machine ${name}`;
  const nics = facts.nics.map((nic, index) => ({
    about: facts.nics.length === 1 ? about : `${about} NIC ${index} (${nic.mac})`,
    findings: judgeNic(name, nic),
  }));
  return [{ about, findings: judgeMachine({ name, ...facts }) }, ...nics];
}
