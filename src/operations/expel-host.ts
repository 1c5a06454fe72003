// Removes a host that died for good from the ledger that the hosts of a cluster share.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import type { Config, EtcdConfig, NetworkConfig } from '../config/config.ts';
import { messageOf, VirlanError } from '../errors.ts';
import { EtcdClient } from '../shared-ledger/client.ts';
import {
  checkExpulsion,
  type MachinesFate,
  planExpulsion,
  planMachineRemovals,
} from '../shared-ledger/expulsion.ts';
import { prefixOf } from '../shared-ledger/keys.ts';
import { Mirror } from '../shared-ledger/mirror.ts';
import { blocksOf, machinesOf } from '../shared-ledger/register.ts';
import { withPrefix } from '../shared-ledger/transaction.ts';

/** The part of the host on one network. The names of machines are hostile. */
export interface Expelled {
  readonly network: string;
  /** The number of blocks of addresses that it had. */
  readonly blocks: number;
  /** Its machines that keep their reservations, and those whose reservations were deleted. */
  readonly kept: readonly string[];
  readonly dropped: readonly string[];
}

/** A network, and what etcd has of it. */
interface Part {
  readonly network: string;
  readonly prefix: string;
  readonly mirror: Mirror;
}

/**
 * Removes a host from all networks whose ledger is shared. Throws VirlanError: 'wrong-state' without etcd, and for a
 * host that must not be removed; 'unknown-host' for one that has nothing in etcd; 'etcd-failed'.
 */
export async function expelHost(
  { etcd, networks }: Config,
  host: Ipv4,
  machines: MachinesFate,
): Promise<Expelled[]> {
  if (etcd === null)
    throw new VirlanError('wrong-state', 'this host shares its ledger with no other: [cluster] has no etcd');
  const { client, parts } = await openAny(etcd, networks);
  try {
    checkExpulsion(
      host,
      etcd.address,
      machines,
      parts.map(({ mirror }) => mirror),
    );
    const expelled: Expelled[] = [];
    for (const part of parts) expelled.push(await expelFrom(part, client, host, machines));
    return expelled;
  } finally {
    client.close();
  }
}

/** Reads the networks by the first member of etcd that serves. Throws VirlanError 'etcd-failed' if none does. */
async function openAny(
  etcd: EtcdConfig,
  networks: readonly NetworkConfig[],
): Promise<{ readonly client: EtcdClient; readonly parts: readonly Part[] }> {
  const failures: string[] = [];
  for (const endpoint of etcd.endpoints)
    try {
      const client = await EtcdClient.connect(endpoint, etcd);
      try {
        return { client, parts: await readParts(client, networks) };
      } catch (error) {
        client.close();
        throw error;
      }
    } catch (error) {
      failures.push(messageOf(error));
    }
  throw new VirlanError('etcd-failed', `etcd does not serve: ${failures.join('; ')}: see "virlan doctor"`);
}

async function readParts(client: EtcdClient, networks: readonly NetworkConfig[]): Promise<Part[]> {
  const parts: Part[] = [];
  for (const { name, tunnel, sharesLedger } of networks) {
    if (tunnel === null || !sharesLedger) continue;
    const prefix = prefixOf(tunnel.vni);
    const mirror = new Mirror(name, prefix);
    await client.read(prefix, pairs => mirror.apply(pairs));
    parts.push({ network: name, prefix, mirror });
  }
  return parts;
}

async function expelFrom(
  { network, prefix, mirror }: Part,
  client: EtcdClient,
  host: Ipv4,
  machines: MachinesFate,
): Promise<Expelled> {
  const nameOf = (uuid: string) => mirror.machines.get(uuid)?.value?.entries[0]?.entry.name ?? uuid;
  const dropped: string[] = [];
  for (const { uuid, transaction } of machines === 'drop' ? planMachineRemovals(host, mirror) : [])
    if ((await client.write(withPrefix(prefix, transaction))) !== null) dropped.push(nameOf(uuid));
  for (const transaction of planExpulsion(host, mirror))
    if ((await client.write(withPrefix(prefix, transaction))) === null)
      throw new VirlanError('wrong-state', `${formatIp(host)} has come back meanwhile, and stays`);
  return {
    network,
    blocks: blocksOf(host, mirror).length,
    kept: machines === 'drop' ? [] : machinesOf(host, mirror).map(nameOf),
    dropped,
  };
}
