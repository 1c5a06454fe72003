// Puts the guard of a bridge in force, tap by tap or as a whole, and keeps the files about its taps.
//
// No lock is needed: a tap's file is written before its elements are added, and a process that replaces the whole
// table reads the files once more after that.
import { CommandError, WriteError } from '../errors.ts';
import { system } from '../system/system.ts';
import { type Binding, earlierBindings, readBindings, removeBinding, writeBinding } from './bindings.ts';
import { type Elements, elementsWithout, joinElements, noElements, peerElements } from './elements.ts';
import { createGuardScript } from './script.ts';
import { changeGuard, loadGuard, removeGuard } from './table.ts';

type Bound = Omit<Binding, 'bridge'>;

/** Returns the index of a link; null if there is none. */
export function linkIndex(link: string): number | null {
  const text = system.readFile(`/sys/class/net/${link}/ifindex`);
  return text === null ? null : Number(text);
}

/** Returns the bindings to a bridge whose taps still exist. */
export function currentBindings(bridge: string): Binding[] {
  return readBindings().filter(binding => binding.bridge === bridge && isCurrent(binding));
}

function isCurrent({ tap, index }: Pick<Binding, 'tap' | 'index'>): boolean {
  return linkIndex(tap) === index;
}

/** A whole guard that is about to be loaded. */
export interface NewGuard {
  /** A script for nft that makes the table, and fails where it exists. */
  readonly script: string;
  /** Loads the table in place of one that may be there. Throws CommandError: the old one is in force then. */
  load(): Promise<void>;
  /** Adds what machines have begun to use meanwhile. Throws CommandError. */
  complete(): Promise<void>;
}

/** Returns the whole table, in which machines that are starting right now stay guarded. */
export function newGuard(
  bridge: string,
  table: string,
  wanted: readonly Elements[],
  taps: readonly Bound[],
): NewGuard {
  const withStarting = () => joinElements([...wanted, ...startingTaps(bridge, taps)]);
  const loaded = withStarting();
  return {
    script: createGuardScript(bridge, table, loaded),
    load: () => loadGuard(system, bridge, table, loaded),
    async complete() {
      await changeGuard(system, bridge, noElements, elementsWithout(withStarting(), loaded));
      keepBindings(bridge, taps);
    },
  };
}

/** Changes elements of the table. Throws CommandError: nothing is changed then. */
export async function correct(
  bridge: string,
  surplus: Elements,
  missing: Elements,
  taps: readonly Bound[],
): Promise<void> {
  await changeGuard(system, bridge, surplus, missing);
  keepBindings(bridge, taps);
}

function startingTaps(bridge: string, known: readonly Bound[]): Elements[] {
  return currentBindings(bridge)
    .filter(({ tap }) => !known.some(each => each.tap === tap))
    .map(({ elements }) => elements);
}

/** Removes the table and the files about its taps. Throws CommandError. */
export async function withdrawGuard(bridge: string): Promise<void> {
  await removeGuard(system, bridge);
  for (const binding of readBindings()) if (binding.bridge === bridge) removeBinding(binding);
}

/** Binds a tap, whose file was written, to its machine before the guest runs. Throws CommandError. */
export async function bindTap(binding: Binding, belongings: Elements): Promise<void> {
  const { bridge, elements } = binding;
  const earlier = earlierBindings(binding);
  if (earlier.length > 0) {
    const surplus = elementsWithout(joinElements(earlier.map(each => each.elements)), elements);
    await removeIfThere(bridge, surplus);
    for (const each of earlier) removeBinding(each);
  }
  const pairs = peersOf(binding, () => currentBindings(bridge));
  await changeGuard(system, bridge, noElements, joinElements([elements, belongings, pairs]));
}

/** Removes what the guard knows of a machine that has stopped. Throws CommandError. */
export async function unbindMachine(uuid: string): Promise<void> {
  const bindings = readBindings();
  for (const binding of bindings.filter(each => each.uuid === uuid)) {
    const { bridge, elements } = binding;
    const pairs = peersOf(binding, () => bindings.filter(each => each.bridge === bridge));
    bindings.splice(bindings.indexOf(binding), 1);
    removeBinding(binding);
    await removeIfThere(bridge, joinElements([elements, pairs]));
  }
}

/** Returns the elements about a tap and the others of its group. Most machines have none: then nothing is read. */
function peersOf({ tap, group, elements }: Binding, readOthers: () => readonly Binding[]): Elements {
  if (group === null || elements.isolated.size === 0) return noElements;
  const { peers } = peerElements(readOthers().filter(each => each.group === group));
  return { ...noElements, peers: new Set([...peers].filter(pair => pair.split(' . ').includes(`"${tap}"`))) };
}

/** Removes elements, if the table is there. Where nft refuses that, the next comparison of the host removes them. */
async function removeIfThere(bridge: string, surplus: Elements): Promise<void> {
  try {
    await changeGuard(system, bridge, surplus, noElements);
  } catch (error) {
    if (!(error instanceof CommandError) || error.reason !== 'failed') throw error;
  }
}

/** Keeps the files of the taps that are guarded, and removes those of links that no longer exist. */
function keepBindings(bridge: string, taps: readonly Bound[]): void {
  const known = readBindings();
  for (const binding of known) if (!isCurrent(binding)) removeBinding(binding);
  for (const tap of taps) {
    const found = known.find(each => each.tap === tap.tap && each.index === tap.index);
    if (found?.group === tap.group && isSame(found.elements, tap.elements)) continue;
    try {
      writeBinding({ ...found, ...tap, bridge });
    } catch (error) {
      // A full /run: only the removal at the machine's end, before the next comparison, needs the file.
      if (!(error instanceof WriteError)) throw error;
    }
  }
}

function isSame(one: Elements, other: Elements): boolean {
  return (Object.keys(one) as (keyof Elements)[]).every(
    name => one[name].size === other[name].size && [...one[name]].every(each => other[name].has(each)),
  );
}
