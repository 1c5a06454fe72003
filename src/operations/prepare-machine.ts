// Prepares the start of a machine: establishes its networks where needed, and reserves an address for each
// NIC.
import { existsSync } from 'node:fs';
import type { Config, NetworkConfig } from '../config/config.ts';
import { isAlive } from '../dnsmasq/process.ts';
import { messageOf, VirlanError } from '../errors.ts';
import { asksForForwards } from '../forwards/asks.ts';
import { type Machine, machineOn } from '../identity/machine.ts';
import type { Reserved, ReserveEvent } from '../identity/reserve.ts';
import { reserveMachine } from '../identity/store.ts';
import { passThroughNetworks } from '../libvirt/definitions.ts';
import type { Domain } from '../libvirt/domain-xml.ts';
import type { Event } from '../report/event.ts';
import { startPath } from '../system/paths.ts';
import type { HookOutcome } from './hook-outcome.ts';
import { keepStart } from './keep-start.ts';

/** Longest wait for another virlan process that changes the network: the start of a machine waits meanwhile. */
const networkLockTimeoutSeconds = 5;

/** Reserves addresses for a domain that is about to start. A failure is an event. */
export async function prepareMachine(domain: Domain, { networks }: Config): Promise<HookOutcome> {
  const events: Event[] = [];
  const reserved: Reserved[] = [];
  let abort: Error | null = null;
  let hasForwards = false;
  for (const network of networks) {
    const passThrough = domain.nics.some(nic => nic.network !== null)
      ? passThroughNetworks(network.name, network.bridge)
      : new Set<string>();
    const machine = machineOn(network.bridge, passThrough, domain);
    if (machine.macs.length === 0) continue;
    try {
      const prepared = await prepareOn(network, machine);
      events.push(...prepared.events);
      reserved.push(prepared.reserved);
      // All forwards of a machine are on its first network.
      if (!hasForwards) events.push(...(await openForwards(network, domain)));
      hasForwards = true;
    } catch (cause) {
      events.push({
        kind: 'reservation-failed',
        network: network.name,
        machine: { name: machine.name, uuid: machine.uuid },
        error: cause as Error,
      });
      if (network.onError === 'abort') abort ??= abortError(network, machine, cause as Error);
    }
  }
  keepIfFirst(domain, reserved);
  return { events, abort };
}

/** Keeps what the start has changed until the machine has stopped: one that has not run by then has not booted. */
function keepIfFirst({ uuid }: Domain, reserved: readonly Reserved[]): void {
  const mayBeFirst = reserved.some(({ entries, before }) =>
    entries.some(({ macs }, nic) => {
      const { booted, host, macs: earlier } = before[nic] ?? {};
      return !booted || host !== null || earlier?.[0] !== macs[0];
    }),
  );
  // A file of an earlier start is there if libvirt was killed. Most machines have booted before, with these MACs.
  if (mayBeFirst || existsSync(startPath(uuid))) keepStart(uuid, reserved);
}

interface Prepared {
  readonly events: readonly Event[];
  readonly reserved: Reserved;
}

async function prepareOn(network: NetworkConfig, machine: Machine): Promise<Prepared> {
  const events: Event[] = [];
  if (!isAlive(network)) {
    // Loaded when needed: a start on a network that is up does not wait for this code.
    const { establishForHook } = await import('./establish-networks.ts');
    events.push(...(await establishForHook(network, networkLockTimeoutSeconds)));
  }
  const stored = await reserveMachine(network, machine, 'booting');
  const { events: reserved, told } = stored;
  events.push(...reserved.map(event => ({ kind: 'reservation', event }) as const));
  if (reserved.some(isPerhapsInConfiguration)) {
    // Loaded when needed: hardly any machine has lines there.
    const { serveInConfiguration } = await import('./serve-in-configuration.ts');
    events.push(...(await serveInConfiguration(network, reserved, networkLockTimeoutSeconds)));
  }
  if (!told)
    events.push({
      kind: 'dnsmasq-missing',
      network: network.name,
      machine: { name: machine.name, uuid: machine.uuid },
    });
  return { events, reserved: stored };
}

function isPerhapsInConfiguration({ kind, entry }: ReserveEvent): boolean {
  return kind === 'changed' || entry.boot !== null || entry.aliases.length > 0;
}

async function openForwards(network: NetworkConfig, domain: Domain): Promise<readonly Event[]> {
  if (!asksForForwards(domain, network.machines)) return [];
  // Loaded when needed: most machines have none.
  const { openForwards: open } = await import('./sync-forwards.ts');
  return open(network, domain, networkLockTimeoutSeconds);
}

function abortError(network: NetworkConfig, machine: Machine, cause: Error): VirlanError {
  const message = `no reservation for ${JSON.stringify(machine.name)} on ${network.name}: ${messageOf(cause)}`;
  return new VirlanError('reservation-failed', message, { cause });
}
