// Domains as the watcher reads them from libvirt. Pure.
import { machineNamespace } from '../../identity/machine.ts';
import type { MachineId } from '../../report/event.ts';

export function idOf({ name, uuid }: MachineId): MachineId {
  return { name, uuid };
}

/** Returns the definition of a machine as libvirt writes it, with a MAC that it made. */
export function rehearsalXml(bridge: string, time: number): string {
  return `<domain type='kvm'>
  <name>virlan rehearsal ${time}</name>
  <uuid>00000000-0000-0000-0000-000000000000</uuid>
  <metadata><virlan:machine xmlns:virlan="${machineNamespace}" hostname="virlan-rehearsal"/></metadata>
  <devices>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:0${time}'/>
      <source bridge='${bridge}'/>
    </interface>
  </devices>
</domain>`;
}
