// Which machine is behind a tap: a file for each tap that is guarded, /run/virlan/guard/INDEX-TAP.json, with the
// index of the link, which is never given to another one. libvirt's file about a machine names its taps only
// when the machine runs already.
//   {"bridge": "k8s-br0", "uuid": "6b4a5c7e-…", "elements": {"ports": ["\"vnet0\" : goto others"], …}, "version": 1}
import * as v from 'valibot';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import {
  listDirectory,
  makeDirectory,
  readOwnFileOrNull,
  removeFile,
  writeAtomically,
} from '../system/files.ts';
import { paths } from '../system/paths.ts';
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
  const record = parseRecord(readOwnFileOrNull(`${paths.guard}/${name}`) ?? '', format);
  if (!record.ok) return [];
  const { bridge, uuid, group, elements: lists } = record.value;
  const elements = mapSets(set => new Set(lists[set] ?? []));
  return [{ tap, index: Number(index), bridge, uuid, group, elements }];
}

/** Returns the bindings of earlier links with a tap's name. Reads no other file. */
export function earlierBindings({ tap, index }: Pick<Binding, 'tap' | 'index'>): Binding[] {
  return listDirectory(paths.guard)
    .filter(name => name.endsWith(`-${tap}.json`) && name !== fileName({ tap, index }))
    .flatMap(readBinding)
    .filter(binding => binding.tap === tap);
}

/** Writes a binding. Throws WriteError. */
export function writeBinding({ tap, index, bridge, uuid, group, elements }: Binding): void {
  makeDirectory(paths.guard, 0o700);
  const lists = Object.fromEntries(setNames.map(set => [set, [...elements[set]]]));
  const text = formatRecord({ bridge, uuid, group, elements: lists }, format);
  writeAtomically(`${paths.guard}/${fileName({ tap, index })}`, text, 0o600);
}

export function removeBinding(binding: Pick<Binding, 'tap' | 'index'>): void {
  removeFile(`${paths.guard}/${fileName(binding)}`);
}

function fileName({ tap, index }: Pick<Binding, 'tap' | 'index'>): string {
  return `${index}-${tap}.json`;
}
