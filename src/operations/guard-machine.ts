// Guards a machine that is about to run: what its taps may send is in force before the guest's first frame.
import { writeFileSync } from 'node:fs';
import type { Config, NetworkConfig } from '../config/config.ts';
import { CommandError } from '../errors.ts';
import { compareListings } from '../firewall/drift.ts';
import { type Binding, writeBinding } from '../guard/bindings.ts';
import { belongingElements, type Elements, tapElements } from '../guard/elements.ts';
import { bindTap, linkIndex } from '../guard/guard.ts';
import { listGuardRules } from '../guard/table.ts';
import { type MachineTap, machineTaps } from '../guard/taps.ts';
import { readLedger } from '../identity/store.ts';
import { type Domain, readDomain } from '../libvirt/domain-xml.ts';
import { readApplied } from '../network/records/applied-record.ts';
import { guardedPortMask } from '../network/state/state.ts';
import type { Event } from '../report/event.ts';
import { system } from '../system/system.ts';
import type { HookOutcome } from './hook-outcome.ts';

/** Longest wait for another virlan process that changes the network: the start of a machine waits meanwhile. */
const networkLockTimeoutSeconds = 5;

/** Puts the guard of a tap in force. Throws CommandError. */
export type BindTap = (binding: Binding, belongings: Elements) => Promise<void>;

/** Returns whether the guard of a bridge has the rules that virlan loaded. Throws CommandError. */
export type HasRules = (bridge: string) => Promise<boolean>;

/**
 * Guards the taps of a domain that libvirt passes as XML: they exist, and the guest does not run yet. A failure
 * is an event, and the machine starts. Throws VirlanError when the XML cannot be read.
 */
export async function guardMachine(
  xml: string,
  { networks }: Config,
  bind: BindTap = bindTap,
  hasRules: HasRules = hasLoadedRules,
): Promise<HookOutcome> {
  const domain = readDomain(xml);
  const events: Event[] = [];
  for (const network of networks) {
    try {
      events.push(...(await guardOn(network, domain, bind, hasRules)));
    } catch (error) {
      const { name, uuid } = domain;
      events.push({
        kind: 'guard-failed',
        network: network.name,
        machine: { name, uuid },
        error: error as Error,
      });
    }
  }
  return { events, abort: null };
}

/**
 * Guards the tap of a domain that libvirt is starting, as far as it is known. What needs more than elements is left
 * to `guardMachine`. Throws CommandError, and WriteError.
 */
export async function guardNewTap(network: NetworkConfig, domain: Domain, bind: BindTap): Promise<void> {
  const { bridge } = network;
  if (readApplied(bridge).guard === null) return;
  for (const { belongings, ...binding } of announceTaps(network, domain)) await bind(binding, belongings);
}

async function guardOn(
  network: NetworkConfig,
  domain: Domain,
  bind: BindTap,
  hasRules: HasRules,
): Promise<Event[]> {
  const bound = announceTaps(network, domain);
  if (bound.length === 0) return [];
  // Where only some machines are guarded, there is no table before the first of them.
  const isThere = readApplied(network.bridge).guard !== null;
  const events = isThere ? await addAll(network, bound, bind, hasRules) : await compareAll(network);
  for (const { tap, elements } of bound)
    if (elements.ports.size > 0)
      writeFileSync(`/sys/class/net/${tap}/brport/group_fwd_mask`, String(guardedPortMask));
  return events;
}

interface Announced extends Binding {
  readonly belongings: Elements;
}

/** Writes the files about the taps of a domain that are guarded. libvirt has named the bridges of these NICs. */
function announceTaps(network: NetworkConfig, domain: Domain): Announced[] {
  const taps = machineTaps(network, new Set(), domain, readLedger());
  return taps.flatMap(tap => announce(network.bridge, tap));
}

/** Writes the file that says which machine is behind a tap; nothing for a tap that is gone. */
function announce(bridge: string, { tap, uuid, group, guard }: MachineTap): Announced[] {
  const index = linkIndex(tap);
  if (guard === null || index === null) return [];
  const binding = { tap, index, bridge, uuid, group, elements: tapElements(guard) };
  writeBinding(binding);
  return [{ ...binding, belongings: belongingElements(guard) }];
}

async function addAll(
  network: NetworkConfig,
  bound: readonly Announced[],
  bind: BindTap,
  hasRules: HasRules,
): Promise<Event[]> {
  try {
    for (const { belongings, ...binding } of bound) await bind(binding, belongings);
    // `nft flush table` leaves the sets.
    return (await hasRules(network.bridge)) ? [] : compareAll(network);
  } catch (error) {
    // Elements of an earlier machine, or no table: all is compared.
    if (!(error instanceof CommandError) || error.reason !== 'failed') throw error;
    return compareAll(network);
  }
}

async function hasLoadedRules(bridge: string): Promise<boolean> {
  const { guard } = readApplied(bridge);
  const rules = await listGuardRules(system, bridge);
  return guard !== null && compareListings(guard.listing, rules).length === 0;
}

async function compareAll(network: NetworkConfig): Promise<Event[]> {
  const { establishForHook } = await import('./establish-networks.ts');
  return establishForHook(network, networkLockTimeoutSeconds);
}
