// Handles a NIC that libvirt plugs into one of its networks, or unplugs.
import type { Config } from '../config/config.ts';
import { readLeases } from '../dnsmasq/lease-file.ts';
import { VirlanError } from '../errors.ts';
import type { LedgerEntry } from '../identity/ledger-format.ts';
import { machineOn, type Wishes } from '../identity/machine.ts';
import { changeLedger, readLedger, reserveMachine, syncReservations } from '../identity/store.ts';
import { definedDomains, passThroughNetworks, runningDomains } from '../libvirt/definitions.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import { parseNetworkPort } from '../libvirt/network-xml.ts';
import type { HookOutcome } from './hook-outcome.ts';
import { passedThroughTo } from './passed-through-to.ts';

const nothingToDo: HookOutcome = { events: [], abort: null };

/**
 * Reserves an address for a NIC that is plugged into a running machine. When a machine starts,
 * `prepareMachine` has seen all its NICs already. Throws VirlanError when the XML cannot be read.
 */
export async function plugNic(xml: string, config: Config): Promise<HookOutcome> {
  const { network, owner, mac, isIsolated } = readPort(xml, config);
  if (network === undefined) return nothingToDo;
  const known = readLedger().ofMachine(network.name, owner.uuid);
  if (known.some(entry => entry.macs[0] === mac)) return nothingToDo;
  const passThrough = passThroughNetworks(network.name, network.bridge);
  const running = runningDomains().find(domain => domain.uuid === owner.uuid);
  const plugged = running === undefined ? null : machineOn(network.bridge, passThrough, running);
  const before = plugged?.macs ?? known.flatMap(entry => entry.macs.slice(0, 1));
  const macs = [...before.filter(other => other !== mac), mac];
  const isolated = new Set(known.flatMap(entry => (entry.isolated ? entry.macs : [])));
  if (isIsolated) isolated.add(mac);
  const machine = { ...owner, macs, isolated, wishes: plugged?.wishes ?? keptWishes(known) };
  const { events } = await reserveMachine(network, machine, 'booting');
  return { events: events.map(event => ({ kind: 'reservation', event })), abort: null };
}

/** Returns what the entries of a machine still say of its wishes. Names each, so that none is forgotten. */
function keptWishes(known: readonly LedgerEntry[]): Wishes {
  const [first] = known;
  return {
    keepsMac: false,
    ip: null,
    hasOtherNics: false,
    hostname: null,
    aliases: known.flatMap(({ aliases }) => aliases),
    boot: first?.boot ?? null,
    group: first?.group ?? null,
    problems: [],
  };
}

/**
 * Removes what `plugNic` reserved for a NIC that could not be plugged in after all: the machine runs on
 * without it, has it not in its definition, and it has leased nothing. A NIC that was in use keeps its
 * reservation: it may come back. Throws VirlanError when the XML cannot be read.
 */
export async function unplugNic(xml: string, config: Config): Promise<HookOutcome> {
  const { network, owner, mac } = readPort(xml, config);
  if (network === undefined) return nothingToDo;
  const isOwners = ({ uuid }: Domain) => uuid === owner.uuid;
  const [running, defined] = [runningDomains().find(isOwners), definedDomains().find(isOwners)];
  const isItsOwn = [running, defined].some(domain => domain?.nics.some(nic => nic.mac === mac));
  const isLeased = readLeases(network.bridge).some(lease => lease.mac === mac);
  if (running === undefined || isItsOwn || isLeased) return nothingToDo;
  const isChanged = await changeLedger(ledger => {
    const entry = ledger.ofMachine(network.name, owner.uuid).find(({ macs }) => macs[0] === mac);
    if (entry === undefined) return { ledger, result: false };
    const earlier = entry.macs.slice(1);
    const changed = ledger.replace(entry, earlier.length === 0 ? null : { ...entry, macs: earlier });
    return { ledger: changed, result: true };
  });
  if (isChanged) await syncReservations(network);
  return nothingToDo;
}

/** Reads a port; `network` is undefined for one outside of virlan's networks. */
function readPort(xml: string, { networks }: Config) {
  const port = parseNetworkPort(xml);
  if (!port.ok)
    throw new VirlanError(
      'unreadable-xml',
      `libvirt passed a network port that cannot be read: ${port.error}`,
    );
  const { network: target, ...rest } = port.value;
  return { network: passedThroughTo(networks, target), ...rest };
}
