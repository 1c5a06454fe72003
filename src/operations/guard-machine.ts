// Guards a machine that is about to run, and forgets one that has stopped.
import { writeFileSync } from 'node:fs';
import type { Config, NetworkConfig } from '../config/config.ts';
import { CommandError } from '../errors.ts';
import { belongingElements, tapElements } from '../guard/elements.ts';
import { bindTap, linkIndex, unbindMachine } from '../guard/guard.ts';
import { type MachineTap, machineTaps } from '../guard/taps.ts';
import { readLedger } from '../identity/store.ts';
import { type Domain, readDomain } from '../libvirt/domain-xml.ts';
import { readApplied } from '../network/applied-record.ts';
import { guardedPortMask } from '../network/state.ts';
import type { Event } from '../report/event.ts';
import type { HookOutcome } from './hook-outcome.ts';

/** Longest wait for another virlan process that changes the network: the start of a machine waits meanwhile. */
const networkLockTimeoutSeconds = 5;

/**
 * Guards the taps of a domain that libvirt passes as XML: they exist, and the guest does not run yet. A failure
 * is an event, and the machine starts. Throws VirlanError when the XML cannot be read.
 */
export async function guardMachine(xml: string, { networks }: Config): Promise<HookOutcome> {
  const domain = readDomain(xml);
  const events: Event[] = [];
  for (const network of networks) {
    try {
      events.push(...(await guardOn(network, domain)));
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
 * Forgets the taps of a domain that has stopped, so that the next one that gets a tap of that name is not taken
 * for it. Throws VirlanError when the XML cannot be read.
 */
export async function releaseMachine(xml: string): Promise<HookOutcome> {
  await unbindMachine(readDomain(xml).uuid);
  return { events: [], abort: null };
}

async function guardOn(network: NetworkConfig, domain: Domain): Promise<Event[]> {
  const { bridge } = network;
  // At this moment libvirt names the bridge of each NIC.
  const taps = machineTaps(network, new Set(), domain, readLedger()).filter(({ guard }) => guard !== null);
  if (taps.length === 0) return [];
  if (readApplied(bridge).guard === null) {
    // Where only some machines are guarded, there is no table before the first of them.
    for (const tap of taps) await bind(bridge, tap).catch(() => {});
    return compareAll(network);
  }
  try {
    for (const tap of taps) await bind(bridge, tap);
    return [];
  } catch (error) {
    // Elements of an earlier machine, or no table: all is compared.
    if (!(error instanceof CommandError) || error.reason !== 'failed') throw error;
    return compareAll(network);
  }
}

async function compareAll(network: NetworkConfig): Promise<Event[]> {
  const { establishForHook } = await import('./establish-networks.ts');
  return establishForHook(network, networkLockTimeoutSeconds);
}

async function bind(bridge: string, { tap, uuid, group, guard }: MachineTap): Promise<void> {
  const index = linkIndex(tap);
  if (guard === null || index === null) return;
  const elements = tapElements(guard);
  await bindTap({ tap, index, bridge, uuid, group, elements }, belongingElements(guard));
  if (guard.mode !== 'no')
    writeFileSync(`/sys/class/net/${tap}/brport/group_fwd_mask`, String(guardedPortMask));
}
