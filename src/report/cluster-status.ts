// The shared ledger of a network, as `virlan status --json` shows it. Pure.
import { formatIp } from '../address/ip.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import type { EtcdFailure } from '../shared-ledger/etcd-error.ts';
import { isoSeconds } from '../text.ts';

/** The connection to etcd, and what is known of the other hosts, as the watcher has it. */
export interface ClusterStatus {
  readonly etcd: {
    readonly connected: boolean;
    readonly endpoint: string | null;
    /** The time when it began to be like this. */
    readonly since: Date;
    /** The reason why there is no connection; null before the first try, and while there is one. */
    readonly error: { readonly reason: EtcdFailure; readonly message: string } | null;
  };
  /** Addresses that this host can give to new machines while etcd is away. */
  readonly freeAddresses: number;
  /** The other hosts. `alive`: their watchers run; null while etcd is away. */
  readonly hosts: readonly { readonly address: string; readonly alive: boolean | null }[];
}

/** A machine's NIC on another host, as `virlan status --json` shows it. */
export interface RemoteMachine {
  readonly name: string;
  readonly uuid: string;
  readonly nic: number;
  readonly mac: string;
  readonly ip: string | null;
  readonly hostname: string;
  /** The host, by its address in `[cluster]`. */
  readonly host: string;
}

/** The part of a network's status that is about the shared ledger. `etcd` is null without a watcher. */
export interface SharedStatus {
  readonly etcd: {
    readonly connected: boolean;
    readonly endpoint: string | null;
    readonly since: string;
    readonly error: string | null;
  } | null;
  readonly freeAddresses: number;
  readonly hosts: readonly {
    readonly address: string;
    readonly alive: boolean | null;
    readonly machines: number;
  }[];
  readonly machines: readonly RemoteMachine[];
}

/** Returns the status from the ledger alone. `hosts` are those of the copy. */
export function sharedStatus(
  entries: readonly LedgerEntry[],
  freeAddresses: number,
  hosts: readonly string[],
): SharedStatus {
  const machines = entries.flatMap(({ name, uuid, nic, macs, ip, hostname, host }): RemoteMachine[] =>
    host === null
      ? []
      : [
          {
            name,
            uuid,
            nic,
            mac: macs[0] ?? '',
            ip: ip === null ? null : formatIp(ip),
            hostname,
            host: formatIp(host),
          },
        ],
  );
  return {
    etcd: null,
    freeAddresses,
    hosts: withMachines(
      hosts.map(address => ({ address, alive: null })),
      machines,
    ),
    machines,
  };
}

/** Returns the status with what the watcher has. */
export function withCluster(status: SharedStatus, { etcd, hosts }: ClusterStatus): SharedStatus {
  return {
    ...status,
    etcd: {
      connected: etcd.connected,
      endpoint: etcd.endpoint,
      since: isoSeconds(etcd.since),
      error: etcd.error?.message ?? null,
    },
    hosts: withMachines(hosts, status.machines),
  };
}

function withMachines<T extends { readonly address: string }>(
  hosts: readonly T[],
  machines: readonly RemoteMachine[],
) {
  const uuids = new Map<string, Set<string>>(hosts.map(({ address }) => [address, new Set()]));
  for (const { host, uuid } of machines) uuids.get(host)?.add(uuid);
  return hosts.map(host => ({ ...host, machines: uuids.get(host.address)?.size ?? 0 }));
}
