// Follows the directory of libvirt's definitions: libvirt sends no event when `virsh attach-device --config` and the
// like change the definition of a machine that is off.
import { type FSWatcher, watch } from 'node:fs';
import { libvirtPaths } from '../../system/paths.ts';

/** Wait after a change, until libvirt's events of it, if it sends some, have had their effect. */
const quietMs = 500;

/** Calls `changed` when definitions have changed, once for a burst of changes. */
export class DefinitionFiles {
  readonly #changed: () => void;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /**
   * Follows the directory, which libvirtd has made by the time it answers. Where inotify is used up, such changes are
   * seen by the next comparison of everything, as the status says.
   */
  follow(): void {
    this.close();
    try {
      this.#watcher = watch(libvirtPaths.domains, () => this.#restart()).on('error', () => this.close());
      this.#watcher.unref();
    } catch {
      // Used up.
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
    this.#watcher = null;
  }

  #restart(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#changed, quietMs).unref();
  }
}
