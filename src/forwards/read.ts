// Reads which forwards of a network are to be active at present, and records them.
import { readFileSync, readlinkSync } from 'node:fs';
import type { NetworkConfig } from '../config/config.ts';
import { nicsOn } from '../identity/machine.ts';
import { pluggedEntries } from '../identity/match-entries.ts';
import { readLedger } from '../identity/store.ts';
import { passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { listDirectory, readFileOrNull } from '../system/files.ts';
import { processIds } from '../system/processes.ts';
import { type Candidate, type Chosen, chooseForwards } from './choose.ts';
import { parseLibvirtPorts, parseListeners } from './listeners.ts';
import { type RefusedForward, refusalKey } from './problem.ts';
import {
  type Booting,
  claimsElsewhere,
  type ForwardsRecord,
  readForwardsRecord,
  writeForwardsRecord,
} from './record.ts';
import { forwardWishes } from './wishes.ts';

/**
 * Longest time between the hook `prepare` and libvirt's file of the running machine, in ms: so long a machine
 * counts as one that is about to run, unless libvirt says that it ended.
 */
const maxBootingMs = 60_000;

/** The forwards of a network as they are to be, and the record that they follow from. */
export interface ForwardsReading extends Chosen {
  readonly record: ForwardsRecord;
  /** The machines that are about to run. */
  readonly booting: readonly Booting[];
}

/** A machine that is about to run, or one that has ended: libvirt's files do not say so yet. */
export type ForwardsChange =
  | { readonly kind: 'booting'; readonly machine: Booting }
  | { readonly kind: 'ended'; readonly uuid: string };

/** Decides about the forwards of a network. */
export function readForwards(network: NetworkConfig, change: ForwardsChange | null = null): ForwardsReading {
  const { bridge } = network;
  const record = readForwardsRecord(bridge);
  const running = runningDomains();
  const begun = change?.kind === 'booting' ? change.machine : null;
  const ended = change?.kind === 'ended' ? change.uuid : null;
  const booting = stillBooting(record, running, begun).filter(({ uuid }) => uuid !== ended);
  const passThrough = passThroughNetworks(network.name, bridge);
  const asking = running.flatMap(domain => {
    const nics = nicsOn(bridge, passThrough, domain);
    if (domain.uuid === ended || nics.length === 0) return [];
    const { uuid, name } = domain;
    const wishes = forwardWishes(domain, network.machines);
    const macs = nics.flatMap(({ mac }) => mac ?? []);
    return wishes.wanted.length + wishes.problems.length === 0 ? [] : [{ uuid, name, wishes, macs }];
  });
  const starting = booting.map(({ uuid, name, ...wishes }) => ({ uuid, name, wishes, macs: null }));
  const machines = [...asking, ...starting];
  if (machines.length === 0) return { claims: [], refused: [], record, booting };
  const ledger = readLedger();
  const candidates = machines.map(({ uuid, name, wishes, macs }): Candidate => {
    const own = ledger.ofMachine(network.name, uuid).filter(({ retired }) => retired === null);
    const entries = macs === null ? own : pluggedEntries(own, macs);
    const [entry] = entries.filter(({ ip }) => ip !== null).sort((a, b) => a.nic - b.nic);
    return { uuid, name, wishes, ip: entry?.ip ?? null };
  });
  const { claims, refused } = chooseForwards(candidates, {
    network,
    held: record.claims,
    elsewhere: claimsElsewhere(bridge),
    listeners: once(readListeners),
    libvirtPorts: once(() => parseLibvirtPorts(readFileOrNull('/etc/libvirt/qemu.conf') ?? '')),
  });
  return { claims, refused: refused.map(withProcess), record, booting };
}

/**
 * Records which forwards are active. Returns the refusals that are new, for the log. Throws VirlanError
 * 'write-failed'. Needs the network lock.
 */
export function recordForwards(bridge: string, reading: ForwardsReading): RefusedForward[] {
  const { claims, booting, refused, record } = reading;
  const keys = refused.map(refusalKey);
  writeForwardsRecord(bridge, { ...record, claims, booting, refused: keys });
  return refused.filter((_, index) => !record.refused.includes(keys[index] ?? ''));
}

/** Returns the machines that are about to run, without those that libvirt's files show by now. */
function stillBooting(
  { booting }: ForwardsRecord,
  running: readonly Domain[],
  begun: Booting | null,
): Booting[] {
  const now = Date.now();
  const others = booting.filter(({ uuid }) => uuid !== begun?.uuid);
  return [...others, ...(begun === null ? [] : [begun])].filter(
    ({ uuid, since }) => now - since < maxBootingMs && !running.some(domain => domain.uuid === uuid),
  );
}

function readListeners() {
  return (['tcp', 'udp'] as const).flatMap(protocol =>
    ['', '6'].flatMap(family =>
      parseListeners(protocol, readFileOrNull(`/proc/net/${protocol}${family}`) ?? ''),
    ),
  );
}

function once<T>(read: () => T): () => T {
  let known: { readonly value: T } | null = null;
  return () => {
    known ??= { value: read() };
    return known.value;
  };
}

type Process = NonNullable<Extract<RefusedForward['problem'], { kind: 'busy' }>['process']>;

/** By the inode of its socket: the program, null for none (a socket of the kernel). A refusal costs one search. */
const processes = new Map<string, Process | null>();

/** Most programs that are kept: sockets of ended ones are never asked about again. */
const maxProcesses = 1000;

function withProcess(refused: RefusedForward): RefusedForward {
  const { problem } = refused;
  if (problem.kind !== 'busy') return refused;
  const { inode } = problem.listener;
  if (!processes.has(inode)) {
    if (processes.size >= maxProcesses) processes.clear();
    processes.set(inode, findProcess(inode));
  }
  return { ...refused, problem: { ...problem, process: processes.get(inode) ?? null } };
}

/** Returns the process that has a socket; null if none is found. */
function findProcess(inode: string): Process | null {
  for (const pid of processIds()) {
    try {
      const isOwner = listDirectory(`/proc/${pid}/fd`).some(
        file => linkOrNull(`/proc/${pid}/fd/${file}`) === `socket:[${inode}]`,
      );
      if (isOwner) return { pid, name: readFileSync(`/proc/${pid}/comm`, 'utf8').trim() };
    } catch {
      // The process has ended.
    }
  }
  return null;
}

function linkOrNull(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
