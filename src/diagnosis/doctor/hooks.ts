// Finds virlan's hooks for libvirt: their possible paths, and the mark of a file. install/setup has the same
// mark and the same name: a unit test compares them.
import { hookNames } from '../../libvirt/hook-names.ts';

/** The beginning of the line that marks a hook as virlan's: `# virlan: libvirt's daemon hook. …` */
export const hookMark = '# virlan: ';

/**
 * The name of the hook in `DRIVER.d`, where the administrator has a hook of that driver; libvirt runs both.
 */
export const hookNameBesideOthers = '50-virlan';

/** The drivers of libvirt whose hooks virlan needs. */
export const hookDrivers: readonly string[] = [
  ...new Set(hookNames.map(name => name.slice(0, name.indexOf(' ')))),
].sort();

export type HookState =
  | { readonly kind: 'installed' }
  | { readonly kind: 'missing' }
  | { readonly kind: 'not-executable'; readonly path: string };

/** A file that exists at one of a hook's paths. */
export interface HookFile {
  readonly path: string;
  readonly text: string;
  readonly isExecutable: boolean;
}

/** Returns the paths at which a driver's hook may be, in the order in which they count. */
export function hookPlaces(driver: string): string[] {
  const main = `/etc/libvirt/hooks/${driver}`;
  return [main, `${main}.d/${hookNameBesideOthers}`];
}

/** Judges the files at a hook's paths: the first with virlan's mark counts. */
export function hookStateOf(files: readonly HookFile[]): HookState {
  const own = files.find(({ text }) => text.split('\n').some(line => line.startsWith(hookMark)));
  if (own === undefined) return { kind: 'missing' };
  return own.isExecutable ? { kind: 'installed' } : { kind: 'not-executable', path: own.path };
}
