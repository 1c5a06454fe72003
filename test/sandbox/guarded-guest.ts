// Guests in place of machines that are guarded: their ports are bound as the taps of machines that start.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { qemuHook } from './hook-calls.ts';
import type { Machine } from './machine.ts';
import { type Guest, guest } from './namespaces.ts';

export interface GuardedGuest extends Guest {
  readonly machine: Machine;
}

/** Adds a guest, and calls the hooks as libvirt does when a machine starts. The name has at most 10 characters. */
export async function guardedGuest(
  name: string,
  { mac, metadata, bridge = 'k8s-br0' }: { mac: string; metadata?: string; bridge?: string },
): Promise<GuardedGuest> {
  const nic = { type: 'bridge' as const, source: bridge, mac };
  const machine: Machine = {
    name,
    uuid: randomUUID(),
    nics: [nic],
    ...(metadata === undefined ? {} : { metadata }),
  };
  await hook('prepare', machine);
  const added = await guest(name, { mac, bridge });
  const started = { ...machine, nics: [{ ...nic, tap: added.port }] };
  await hook('start', started);
  return { ...added, machine: started };
}

/** Calls a hook, which must succeed and print nothing. */
export async function hook(operation: 'prepare' | 'start' | 'stopped', machine: Machine): Promise<void> {
  const { exitCode, stderr } = await qemuHook(operation, machine);
  assert.equal(`${stderr}${exitCode}`, '0');
}
