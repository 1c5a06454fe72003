// Machines that libvirt has started paused (`virsh start --paused`), and that have not run since: as long as one has
// not, that is no boot. libvirt's files do not tell such a machine from one that ran before it was paused. Pure.
import type { LibvirtEvent } from 'node-libvirt';

export class PausedStarts {
  /** By UUID: those that are starting or booted, and were not seen to run; true for those that are paused. */
  readonly #booted = new Map<string, boolean>();

  /** Notes that a machine starts. libvirt may answer that it is paused before it sends the event of the start. */
  begin(uuid: string): void {
    this.#booted.set(uuid, false);
  }

  /** Notes an event. One from an image, or from another host, has run there or before. */
  follow(event: LibvirtEvent): void {
    if (event.kind !== 'domain-lifecycle') return;
    const { uuid } = event.domain;
    switch (event.event) {
      case 'started':
        if (event.detail === 'booted') this.#booted.set(uuid, false);
        else this.#booted.delete(uuid);
        return;
      case 'suspended':
        if (event.detail === 'paused' && this.#booted.has(uuid)) this.#booted.set(uuid, true);
        return;
      case 'resumed':
      case 'stopped':
        this.#booted.delete(uuid);
    }
  }

  /** Notes that a machine was seen to run, or that its start has failed. */
  forget(uuid: string): void {
    this.#booted.delete(uuid);
  }

  /** Returns whether a machine that is paused may be so since it booted. */
  mayBePausedSinceBoot(uuid: string): boolean {
    return this.#booted.has(uuid);
  }

  /** Returns whether a machine is paused since it booted. */
  isPausedSinceBoot(uuid: string): boolean {
    return this.#booted.get(uuid) === true;
  }
}
