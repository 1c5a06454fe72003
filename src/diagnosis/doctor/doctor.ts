// The checks of `virlan doctor`: reads facts and has them judged.
import type { Config, EtcdConfig, NetworkConfig } from '../../config/config.ts';
import { messageOf } from '../../errors.ts';
import { createHostRules, type HostRules } from '../../other-firewalls/base-chains.ts';
import { system } from '../../system/system.ts';
import { type Finding, fail } from '../finding.ts';
import type { Subject } from '../subject.ts';
import type { DoctorHostFacts, MachineFacts } from './facts.ts';
import { judgeHost } from './judge-host.ts';
import { judgeMachine, judgeNic } from './judge-machine.ts';
import { judgeNetwork } from './judge-network.ts';
import { readHostFacts } from './read-host.ts';
import { readMachineFacts } from './read-machine.ts';
import { readNetworkFacts } from './read-network.ts';

/** A finding and its subject. */
export interface Check extends Finding {
  readonly subject: Subject;
}

/**
 * Checks the host, the networks and, where one is named, a machine. The checks are in the order of a packet's
 * way, so that the first failure is the cause of the others, as far as it can be seen. `done` is called with those
 * of the host, of each network and of the machine as soon as they are made.
 */
export async function examine(
  config: Config,
  machineName: string | null,
  done: (checks: readonly Check[]) => void = () => {},
): Promise<Check[]> {
  const rules = createHostRules(system);
  const machine = machineName === null ? null : await readMachineFacts(machineName, config, rules);
  const host = readHostFacts(config);
  const parts = [
    host.then(facts => checksAbout({ kind: 'host' }, judgeHost(facts))),
    ...networksOf(config, machine).map(async network =>
      checksAbout(
        { kind: 'network', name: network.name },
        await examineNetwork(network, config.etcd, host, rules),
      ),
    ),
    ...(machine === null ? [] : [Promise.resolve(examineMachine(machine))]),
  ];
  const checks = await Promise.all(
    parts.map(async part => {
      const made = await part;
      done(made);
      return made;
    }),
  );
  return checks.flat();
}

function checksAbout(subject: Subject, findings: readonly Finding[]): Check[] {
  return findings.map(finding => ({ subject, ...finding }));
}

/** Returns the networks that a machine is on; all of them without a machine, or with one that is on none. */
function networksOf({ networks }: Config, machine: MachineFacts | null): readonly NetworkConfig[] {
  const own = networks.filter(({ name }) => machine?.nics.some(nic => nic.network === name));
  return own.length === 0 ? networks : own;
}

async function examineNetwork(
  network: NetworkConfig,
  etcd: EtcdConfig | null,
  host: Promise<DoctorHostFacts>,
  rules: HostRules,
): Promise<Finding[]> {
  try {
    return judgeNetwork(await readNetworkFacts(network, etcd, host, rules), await host);
  } catch (error) {
    return [fail('bridge', { kind: 'network-unreadable', message: messageOf(error) })];
  }
}

function examineMachine({ name, ...facts }: MachineFacts): Check[] {
  const machine: Subject = { kind: 'machine', name };
  const nics = facts.nics.flatMap((nic, index) => {
    const subject: Subject =
      facts.nics.length === 1 ? machine : { kind: 'nic', machine: name, nic: index, mac: nic.mac };
    return checksAbout(subject, judgeNic(name, nic));
  });
  return [...checksAbout(machine, judgeMachine({ name, ...facts })), ...nics];
}
