// Decides which forwards are active. A port belongs to the machine that had it first, while that runs. Pure.
import type { Ipv4 } from '../address/ip.ts';
import { prefixContains, prefixesOverlap } from '../address/ip.ts';
import type { NetworkConfig } from '../config/config.ts';
import { type Forward, formatForward } from '../config/forward.ts';
import { takesForwards } from '../firewall/ruleset.ts';
import { type Translation, translationsOf } from '../firewall/translation.ts';
import { isInTheWay, type LibvirtPorts, loopback } from './listeners.ts';
import type { ForwardProblem, Listener, RefusedForward } from './problem.ts';
import type { ForwardWishes, WantedForward } from './wishes.ts';

/** A machine that runs, or is about to, with a NIC on the network. */
export interface Candidate {
  readonly name: string;
  readonly uuid: string;
  /** Null if it has none. */
  readonly ip: Ipv4 | null;
  readonly wishes: ForwardWishes;
}

/** A port that a machine has. */
export interface Claim {
  readonly uuid: string;
  readonly name: string;
  readonly forward: Forward;
  readonly ip: Ipv4;
}

/** Returns the translations of claims. */
export function translationsOfClaims(claims: readonly Claim[]): Translation[] {
  return claims.flatMap(({ forward, ip }) => translationsOf(forward, ip));
}

/** Facts of the host that decide. Those that are seldom needed are functions. */
export interface Circumstances {
  readonly network: Pick<NetworkConfig, 'forwardPorts' | 'localhost' | 'mode'>;
  /** The claims of this network so far, and those of other networks. */
  readonly held: readonly Claim[];
  readonly elsewhere: readonly Claim[];
  listeners(): readonly Listener[];
  libvirtPorts(): readonly LibvirtPorts[];
}

export interface Chosen {
  readonly claims: readonly Claim[];
  readonly refused: readonly RefusedForward[];
}

/** Decides about the forwards of all machines of a network. A machine that has ports elsewhere gets none here. */
export function chooseForwards(candidates: readonly Candidate[], circumstances: Circumstances): Chosen {
  const { held, elsewhere } = circumstances;
  const there = new Set(elsewhere.map(({ uuid }) => uuid));
  const here = candidates.filter(({ uuid }) => !there.has(uuid));
  const heldByKey = new Map(held.map(claim => [keyOf(claim), claim]));
  const claims = new Claims(elsewhere);
  const waiting: { machine: Candidate; wanted: WantedForward }[] = [];
  const refused: RefusedForward[] = [];
  const byHeld = new Map<string, Claim>();
  for (const machine of here) {
    const { wanted, problems } = machine.wishes;
    refused.push(...problems.map(problem => ({ machine, problem })));
    for (const each of wanted) {
      const problem = findOwnProblem(machine, each, circumstances.network);
      if (problem !== null) refused.push({ machine, problem });
      else if (machine.ip !== null) {
        const { uuid, name, ip } = machine;
        const key = keyOf({ uuid, forward: each.forward });
        const before = heldByKey.get(key);
        // Keeps the fields of a later version.
        if (before !== undefined) byHeld.set(key, { ...before, name, ip });
        else waiting.push({ machine, wanted: each });
      }
    }
  }
  for (const key of heldByKey.keys()) {
    const kept = byHeld.get(key);
    if (kept !== undefined) claims.add(kept);
  }
  for (const { machine, wanted } of waiting) {
    const { forward } = wanted;
    const problem = findClash(machine, forward, claims) ?? findUser(forward, circumstances);
    if (problem !== null) refused.push({ machine, problem });
    else if (machine.ip !== null)
      claims.add({ uuid: machine.uuid, name: machine.name, forward, ip: machine.ip });
  }
  const idOf = ({ name, uuid }: RefusedForward['machine']) => ({ name, uuid });
  return {
    claims: claims.own,
    refused: refused.map(({ machine, problem }) => ({ machine: idOf(machine), problem })),
  };
}

function keyOf({ uuid, forward }: Pick<Claim, 'uuid' | 'forward'>): string {
  return `${uuid} ${formatForward(forward)}`;
}

function findOwnProblem(
  { ip }: Candidate,
  { forward, source }: WantedForward,
  { forwardPorts, ...network }: Circumstances['network'],
): ForwardProblem | null {
  if (!takesForwards(network)) return { kind: 'mode', forward, mode: network.mode };
  const isAllowed =
    source === 'virlan.ini' ||
    (forwardPorts !== null && forward.first >= forwardPorts.first && forward.last <= forwardPorts.last);
  if (!isAllowed) return { kind: 'not-allowed', forward, allowed: forwardPorts };
  if (!network.localhost && forward.address !== null && prefixContains(loopback, forward.address))
    return { kind: 'needs-localhost', forward };
  return ip === null ? { kind: 'no-address', forward } : null;
}

function findClash({ uuid }: Candidate, forward: Forward, claims: Claims): ForwardProblem | null {
  const clash = claims.overlapping(forward);
  if (clash === null) return null;
  return clash.uuid === uuid
    ? { kind: 'overlaps', forward, other: clash.forward }
    : { kind: 'taken', forward, by: { name: clash.name, uuid: clash.uuid } };
}

function findUser(
  forward: Forward,
  { network, listeners, libvirtPorts }: Circumstances,
): ForwardProblem | null {
  const listener = listeners().find(each => isInTheWay(each, forward, network.localhost));
  if (listener !== undefined) return { kind: 'busy', forward, listener, process: null };
  const ports = libvirtPorts().find(
    ({ first, last }) => forward.protocol === 'tcp' && first <= forward.last && forward.first <= last,
  );
  return ports === undefined ? null : { kind: 'of-libvirt', forward, setting: ports.setting };
}

/** The claims of a network so far, with those of others, by protocol. */
class Claims {
  readonly own: Claim[] = [];
  readonly #all: Record<Forward['protocol'], Claim[]> = { tcp: [], udp: [] };

  constructor(others: readonly Claim[]) {
    for (const claim of others) this.#all[claim.forward.protocol].push(claim);
  }

  add(claim: Claim): void {
    this.own.push(claim);
    this.#all[claim.forward.protocol].push(claim);
  }

  /** Returns a claim that an equal packet would meet. */
  overlapping({ protocol, first, last, address, from }: Forward): Claim | null {
    const found = this.#all[protocol].find(
      ({ forward: other }) =>
        other.first <= last &&
        first <= other.last &&
        (address === null || other.address === null || address === other.address) &&
        (from === null || other.from === null || prefixesOverlap(from, other.from)),
    );
    return found ?? null;
  }
}
