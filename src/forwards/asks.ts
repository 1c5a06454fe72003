// Tells whether a machine asks for forwards. A file of its own, so that the start of a machine without any loads
// nothing else of forwards.
import type { MachineSection } from '../config/config.ts';
import { machineNamespace } from '../identity/machine.ts';
import type { Domain, MetadataElement } from '../libvirt/domain-xml.ts';

/** Returns whether a machine's metadata or virlan.ini has forwards for it, valid or not. */
export function asksForForwards(
  { name, metadata }: Pick<Domain, 'name' | 'metadata'>,
  sections: readonly MachineSection[],
): boolean {
  const isConfigured = sections.some(section => section.name === name && section.forwards.length > 0);
  return isConfigured || forwardElements(metadata).length > 0;
}

/** Returns the elements of forwards in a machine's metadata. */
export function forwardElements(metadata: readonly MetadataElement[]): MetadataElement[] {
  const element = metadata.find(({ namespace }) => namespace === machineNamespace);
  return (element?.children ?? []).filter(
    ({ name, namespace }) => name === 'forward' && namespace === machineNamespace,
  );
}
