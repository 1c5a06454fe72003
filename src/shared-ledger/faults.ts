// Finds what etcd has about a network that must not be: two owners of one address, and hosts that are gone. Pure.
import { type Ipv4, type Ipv4Range, ipv4After } from '../address/ip.ts';
import { keyOfIp, type Ledger } from '../identity/ledger.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { type BlockNetwork, blockSize } from './blocks.ts';
import type { Mirror } from './mirror.ts';
import { holderOfClaim, type Member } from './pushes.ts';

/** A machine, by its name, which is hostile, and its host. */
export interface Place {
  readonly machine: string;
  readonly host: Ipv4;
}

/** A fault about hosts. */
export type HostFault =
  /** Another host, whose watcher runs, has the address of this one. */
  | { readonly kind: 'host-twice'; readonly host: Ipv4 }
  /** The watcher of this host is not connected. */
  | { readonly kind: 'host-not-joined'; readonly host: Ipv4 }
  /** The watcher of another host does not run. `machines`: how many are still its own. */
  | { readonly kind: 'host-dead'; readonly host: Ipv4; readonly machines: number };

/** A fault about addresses. */
export type AddressFault =
  /** A machine that runs on this host has an address that is another's. */
  | {
      readonly kind: 'address-of-another';
      readonly ip: Ipv4;
      readonly machine: string;
      readonly holder: Place;
    }
  /** Two machines have one address. */
  | { readonly kind: 'address-twice'; readonly ip: Ipv4; readonly holders: readonly [Place, Place] }
  /** This host gives addresses that another one gives, too. */
  | { readonly kind: 'block-twice'; readonly block: Ipv4Range; readonly host: Ipv4 }
  /** Another host has a block that does not begin where blocks of this subnet do. */
  | { readonly kind: 'block-astray'; readonly first: Ipv4; readonly host: Ipv4 };

/** Describes this host itself: its ledger, blocks and running machines. */
export interface OwnPart {
  readonly ledger: Ledger;
  /** The blocks that it gives addresses of. */
  readonly blocks: readonly Ipv4Range[];
  /** The UUIDs of its machines that run. */
  readonly running: readonly string[];
}

/** Finds faults of hosts: those of this host first. */
export function findHostFaults({ host }: Member, mark: string, mirror: Mirror): HostFault[] {
  const own = mirror.alive.get(host);
  const dead = [...mirror.hosts.keys()].filter(each => each !== host && !mirror.alive.has(each));
  return [
    ...(own === undefined ? [{ kind: 'host-not-joined', host } as const] : []),
    ...(own !== undefined && own.value !== mark ? [{ kind: 'host-twice', host } as const] : []),
    ...dead.map(each => ({ kind: 'host-dead', host: each, machines: countMachines(each, mirror) }) as const),
  ];
}

function countMachines(host: Ipv4, mirror: Mirror): number {
  return [...mirror.machines.values()].filter(({ value }) => value?.host === host).length;
}

/** Finds faults of addresses. */
export function findAddressFaults(
  member: Member,
  network: BlockNetwork,
  own: OwnPart,
  mirror: Mirror,
): AddressFault[] {
  const others = [...mirror.blocks].flatMap(([first, { value: host }]) =>
    host === null || host === member.host ? [] : [{ first, host }],
  );
  const last = (first: Ipv4) => ipv4After(first, blockSize(network) - 1);
  const isAstray = (first: Ipv4) => (first - network.subnet.network) % blockSize(network) !== 0;
  const isOwn = (first: Ipv4) => own.blocks.some(block => block.first <= last(first) && first <= block.last);
  return [
    ...own.running
      .flatMap(uuid => own.ledger.ofMachine(member.network, uuid))
      .flatMap(entry => addressOfAnother(member, entry, own.ledger, mirror)),
    ...addressesTwice(mirror),
    ...others
      .filter(({ first }) => isOwn(first))
      .map(
        ({ first, host }) => ({ kind: 'block-twice', block: { first, last: last(first) }, host }) as const,
      ),
    ...others
      .filter(({ first }) => isAstray(first))
      .map(({ first, host }) => ({ kind: 'block-astray', first, host }) as const),
  ];
}

function addressOfAnother(
  member: Member,
  { ip, uuid, name }: LedgerEntry,
  ledger: Ledger,
  mirror: Mirror,
): AddressFault[] {
  if (ip === null) return [];
  const host = holderOfClaim(member, keyOfIp(ip), uuid, ledger, mirror);
  if (host === null) return [];
  const holder = mirror.machines.get(mirror.claims.get(keyOfIp(ip))?.value ?? '')?.value;
  return [
    {
      kind: 'address-of-another',
      ip,
      machine: name,
      holder: { machine: holder?.entries[0]?.entry.name ?? '', host },
    },
  ];
}

/** Transactions allow none: somebody wrote without them, or etcd was restored in parts. */
function addressesTwice(mirror: Mirror): AddressFault[] {
  const holders = new Map<Ipv4, { readonly uuid: string; readonly place: Place }>();
  const faults: AddressFault[] = [];
  for (const [uuid, { value }] of mirror.machines)
    for (const { entry } of value?.entries ?? []) {
      const { ip, name } = entry;
      if (value === null || ip === null) continue;
      const place = { machine: name, host: value.host };
      const earlier = holders.get(ip);
      if (earlier === undefined) holders.set(ip, { uuid, place });
      else if (earlier.uuid !== uuid)
        faults.push({ kind: 'address-twice', ip, holders: [earlier.place, place] });
    }
  return faults;
}
