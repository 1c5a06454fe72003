// Machines with forwards, in place of those of libvirt: namespaces that libvirt's files show as running.
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { runHook } from './hook-calls.ts';
import { domainXml, type Machine } from './machine.ts';
import { type Guest, guest } from './namespaces.ts';

const statusFiles = '/run/libvirt/qemu';

/** Returns the metadata of a machine with these elements `<virlan:forward …/>`, given by their attributes. */
export function forwardMetadata(...forwards: readonly string[]): string {
  const elements = forwards.map(attributes => `<virlan:forward ${attributes}/>`).join('');
  return `<virlan:machine xmlns:virlan="urn:virlan:machine:1">${elements}</virlan:machine>`;
}

/** A machine on one network that runs. */
export interface RunningMachine extends Guest {
  readonly uuid: string;
  readonly bridge: string;
}

/** Starts a machine as libvirt does: the hook, its tap, and the file that shows it. */
export async function startGuest(
  name: string,
  { digit, bridge = 'k8s-br0', forwards = [] }: { digit: string; bridge?: string; forwards?: string[] },
): Promise<RunningMachine> {
  const mac = `52:54:00:00:00:0${digit}`;
  const uuid = randomUUID();
  const machine = describe({ name, mac, uuid, bridge, port: '' }, forwards);
  const { exitCode, stderr } = await runHook('qemu', [name, 'prepare', 'begin', '-'], domainXml(machine));
  if (exitCode !== 0) throw new Error(`prepare of ${name}: ${stderr}`);
  const running = { ...(await guest(name, { mac, bridge })), uuid, bridge };
  showRunning(running, forwards);
  return running;
}

/** Writes libvirt's file of a running machine, with these forwards in its live metadata. */
export function showRunning(machine: RunningMachine, forwards: readonly string[]): void {
  const xml = domainXml(describe(machine, forwards)).replace(
    '</interface>',
    `<target dev='${machine.port}'/></interface>`,
  );
  mkdirSync(statusFiles, { recursive: true });
  writeFileSync(`${statusFiles}/${machine.name}.xml`, `<domstatus state='running'>${xml}</domstatus>`);
}

/** Ends a machine as libvirt does; its namespace stays. */
export async function endGuest(machine: RunningMachine): Promise<void> {
  rmSync(`${statusFiles}/${machine.name}.xml`);
  const xml = domainXml(describe(machine, []));
  for (const operation of ['stopped', 'release']) {
    const { exitCode, stderr } = await runHook('qemu', [machine.name, operation, 'end', '-'], xml);
    if (exitCode !== 0) throw new Error(`${operation} of ${machine.name}: ${stderr}`);
  }
}

function describe({ name, uuid, bridge, mac }: RunningMachine, forwards: readonly string[]): Machine {
  return {
    ...{ name, uuid, nics: [{ type: 'bridge', source: bridge, mac }] },
    ...(forwards.length === 0 ? {} : { metadata: forwardMetadata(...forwards) }),
  };
}
