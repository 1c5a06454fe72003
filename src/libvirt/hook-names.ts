// The hooks of libvirt that virlan handles, by driver and operation. Pure.

export const hookNames = [
  'qemu prepare',
  'qemu start',
  'qemu stopped',
  'qemu release',
  'network port-created',
  'network port-deleted',
  'network updated',
  'daemon start',
] as const;

export type HookName = (typeof hookNames)[number];

/** Returns the hook that libvirt calls; null for one without work. A reload is the same work as a start. */
export function findHook(driver: string, operation: string): HookName | null {
  const called = `${driver} ${driver === 'daemon' && operation === 'reload' ? 'start' : operation}`;
  return hookNames.find(name => name === called) ?? null;
}
