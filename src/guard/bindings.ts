// Records which machine is behind a tap: a file for each tap that is guarded, /run/virlan/guard/INDEX-TAP.json, with
// the index of the link, which no other link ever has. libvirt's file about a machine names its taps only when the
// machine runs already.
//   {"bridge": "k8s-br0", "uuid": "6b4a5c7e-…", "elements": {"ports": ["\"vnet0\" : goto others"], …}, "version": 1}
import * as v from 'valibot';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import { listDirectory, makeDirectory, removeFile, writeAtomically } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import { type Elements, mapSets, type SetName, setNames } from './elements.ts';

/** A tap, its machine, and the elements that are about it. */
export interface Binding {
  readonly tap: string;
  readonly index: number;
  readonly bridge: string;
  readonly uuid: string;
  readonly group: string | null;
  readonly elements: Elements;
}

const format = {
  version: 1,
  migrations: [],
  schema: v.looseObject({
    bridge: v.string(),
    uuid: v.string(),
    group: v.optional(v.nullable(v.string()), null),
    elements: v.partial(
      v.looseObject(v.entriesFromList(setNames as readonly SetName[], v.array(v.string()))),
    ),
  }),
} satisfies RecordFormat<v.GenericSchema>;

/** Returns all bindings, those of links that no longer exist included. Damaged files are left out. */
export function readBindings(): Binding[] {
  return listDirectory(paths.guard).flatMap(readBinding);
}

function readBinding(name: string): Binding[] {
  const [, index, tap] = /^(\d+)-(.+)\.json$/.exec(name) ?? [];
  if (index === undefined || tap === undefined) return [];
  const binding = parseBinding(readOwnIfReadable(`${paths.guard}/${name}`) ?? '');
  return binding === null ? [] : [{ ...binding, tap, index: Number(index) }];
}

/** Reads a binding from the text of its file, whose name has the tap; null if it is damaged. */
export function parseBinding(text: string): Omit<Binding, 'tap' | 'index'> | null {
  const record = parseRecord(text, format);
  if (!record.ok) return null;
  const lists = record.value.elements;
  return { ...record.value, elements: mapSets(set => new Set(lists[set] ?? [])) };
}

/** Returns the text of a binding's file in the present version. */
export function formatBinding({ elements, ...binding }: Omit<Binding, 'tap' | 'index'>): string {
  const lists = Object.fromEntries(setNames.map(set => [set, [...elements[set]]]));
  return formatRecord({ ...binding, elements: lists }, format);
}

/** Returns the bindings of earlier links with a tap's name. Reads no other file. */
export function earlierBindings({ tap, index }: Pick<Binding, 'tap' | 'index'>): Binding[] {
  return listDirectory(paths.guard)
    .filter(name => name.endsWith(`-${tap}.json`) && name !== fileName({ tap, index }))
    .flatMap(readBinding)
    .filter(binding => binding.tap === tap);
}

/** Writes a binding. Throws WriteError. */
export function writeBinding({ tap, index, ...binding }: Binding): void {
  makeDirectory(paths.guard, 0o700);
  writeAtomically(`${paths.guard}/${fileName({ tap, index })}`, formatBinding(binding), 0o600);
}

export function removeBinding(binding: Pick<Binding, 'tap' | 'index'>): void {
  removeFile(`${paths.guard}/${fileName(binding)}`);
}

function fileName({ tap, index }: Pick<Binding, 'tap' | 'index'>): string {
  return `${index}-${tap}.json`;
}
