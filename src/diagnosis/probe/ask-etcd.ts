// Asks each member of etcd, and looks for faults in what it has of a network. Loaded only where hosts share their
// ledgers.
import type { EtcdConfig, NetworkConfig } from '../../config/config.ts';
import type { Ledger } from '../../identity/ledger.ts';
import { runningDomains } from '../../libvirt/definitions.ts';
import { readClusterCopy } from '../../records/cluster-copy.ts';
import { EtcdClient } from '../../shared-ledger/client.ts';
import { EtcdError } from '../../shared-ledger/etcd-error.ts';
import { findAddressFaults, findHostFaults } from '../../shared-ledger/faults.ts';
import { keyOf, prefixOf } from '../../shared-ledger/keys.ts';
import { aheadOf, answerOf, type MemberReport } from '../../shared-ledger/member-report.ts';
import { Mirror } from '../../shared-ledger/mirror.ts';
import { hostMark } from '../../shared-ledger/register.ts';
import { machineId } from '../../system/machine-id.ts';
import type { EtcdReport } from '../etcd-report.ts';

/** A member's report, and what it has of the network; null where it could not be read. */
interface Asked {
  readonly report: MemberReport;
  readonly mirror: Mirror | null;
}

/** Asks the members of etcd about a network. `ledger`: that of this host, empty where it cannot be read. */
export async function askEtcd(
  network: NetworkConfig,
  vni: number,
  etcd: EtcdConfig,
  ledger: Ledger,
): Promise<EtcdReport> {
  const ask = (endpoint: string) => askMember(endpoint, etcd, network.name, prefixOf(vni));
  const asked = await Promise.all(etcd.endpoints.map(ask));
  const members = asked.map(({ report }) => report);
  const mirror = asked.find(each => each.mirror !== null)?.mirror ?? null;
  if (mirror === null) return { etcd, members, faults: null };
  const member = { network: network.name, host: etcd.address };
  const own = {
    ledger,
    blocks: readClusterCopy(network.name).blocks,
    running: runningDomains().map(({ uuid }) => uuid),
  };
  return {
    etcd,
    members,
    faults: {
      hosts: findHostFaults(member, hostMark(machineId()), mirror),
      addresses: findAddressFaults(member, network, own, mirror),
    },
  };
}

/** Asks one member. A failure is an answer. */
async function askMember(
  endpoint: string,
  etcd: EtcdConfig,
  network: string,
  prefix: string,
): Promise<Asked> {
  const mirror = new Mirror(network, prefix);
  let canServe = true;
  let aheadMs: number | null = null;
  try {
    const began = new Date();
    const health = await EtcdClient.health(endpoint, etcd);
    canServe = health.canServe;
    if (health.clock !== null) aheadMs = aheadOf(health.clock, began, new Date());
    const writeMs = await useMember(endpoint, etcd, prefix, mirror);
    return { report: { endpoint, aheadMs, answer: { kind: 'serves', writeMs } }, mirror };
  } catch (error) {
    if (!(error instanceof EtcdError)) throw error;
    return { report: { endpoint, aheadMs, answer: answerOf(error, canServe) }, mirror: null };
  }
}

/** Reads a network by a member, as the watcher does. Returns the time that a write takes. */
async function useMember(
  endpoint: string,
  etcd: EtcdConfig,
  prefix: string,
  mirror: Mirror,
): Promise<number> {
  const client = await EtcdClient.connect(endpoint, etcd);
  try {
    const began = performance.now();
    await client.write(withoutEffect(`${prefix}${keyOf.host(etcd.address)}`));
    const writeMs = performance.now() - began;
    await client.read(prefix, pairs => mirror.apply(pairs));
    return writeMs;
  } finally {
    client.close();
  }
}

/** Returns a transaction that goes the way of a write, and never holds: the first write of an etcd has revision 2. */
function withoutEffect(key: string) {
  return { compares: [{ key, revision: 1 }], operations: [{ key, value: '' }] };
}
