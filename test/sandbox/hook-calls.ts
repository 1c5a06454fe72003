// Calls of the installed hooks, as libvirt makes them.
import { randomUUID } from 'node:crypto';
import { execa } from 'execa';
import { domainXml, type Machine } from './machine.ts';

/** The environment in which libvirt runs a hook (virCommandAddEnvPassCommon in libvirt's vircommand.c). */
export const hookEnvironment = { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

export interface HookRun {
  readonly exitCode: number | undefined;
  readonly stderr: string;
  readonly signal: string | undefined;
}

/**
 * Runs an installed hook as libvirt does. Resolves when every process that inherited its output has closed
 * it.
 */
export async function runHook(
  driver: string,
  args: readonly string[],
  input = '',
  killAfterMs?: number,
): Promise<HookRun> {
  const run = await execa(`/etc/libvirt/hooks/${driver}`, args, {
    env: hookEnvironment,
    extendEnv: false,
    input,
    reject: false,
    timeout: killAfterMs ?? 30_000,
    killSignal: 'SIGKILL',
    detached: true,
  });
  return { exitCode: run.exitCode, stderr: run.stderr, signal: run.signal };
}

/** Calls the qemu hook for a machine, which libvirt need not know. */
export function qemuHook(operation: 'prepare' | 'start' | 'stopped', machine: Machine): Promise<HookRun> {
  const suboperation = operation === 'stopped' ? 'end' : 'begin';
  const xml = domainXml({ uuid: randomUUID(), ...machine });
  return runHook('qemu', [machine.name, operation, suboperation, '-'], xml);
}

/** Calls the qemu hook's `prepare` for a machine, which libvirt need not know. */
export function prepare(machine: Machine): Promise<HookRun> {
  return qemuHook('prepare', machine);
}
