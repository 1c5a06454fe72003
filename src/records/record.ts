// JSON records that virlan keeps on disk: validated when read, versioned, migrated, with unknown fields
// preserved.
//
//   {"version": 2, "rules": [], "addresses": ["192.168.100.1/24"]}
import * as v from 'valibot';
import type { Result } from '../result.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A record format. A record without `version` has version 1. */
export interface RecordFormat<Schema extends v.GenericSchema> {
  readonly version: number;
  /** Each returns the fields of the next version, or throws; the first migrates version 1. */
  readonly migrations: readonly ((fields: Fields) => Fields)[];
  /** Objects in it are `v.looseObject`, which keeps the fields of later versions. */
  readonly schema: Schema;
}

/** Reads a record of this or an earlier version. A later version is an error: it must not be overwritten. */
export function parseRecord<Schema extends v.GenericSchema>(
  text: string,
  { version, migrations, schema }: RecordFormat<Schema>,
): Result<v.InferOutput<Schema>> {
  const fields = parseJson(text);
  if (fields === null) return { ok: false, error: 'not a JSON object' };
  const written = fields.version ?? 1;
  if (typeof written !== 'number' || !Number.isInteger(written) || written < 1)
    return { ok: false, error: '"version" is not a positive integer' };
  if (written > version)
    return { ok: false, error: `written by a newer virlan (format version ${written}, known is ${version})` };
  const migrated = migrateFrom(written, fields, migrations);
  if (migrated === null) return { ok: false, error: `not a record of version ${written}` };
  const result = v.safeParse(schema, migrated);
  if (result.success) return { ok: true, value: result.output };
  const [issue] = result.issues;
  return { ok: false, error: `${v.getDotPath(issue) ?? 'record'}: ${issue.message}` };
}

/** Returns the fields of the present version; null for those that a migration cannot read. */
function migrateFrom(
  written: number,
  fields: Fields,
  migrations: RecordFormat<v.GenericSchema>['migrations'],
): Fields | null {
  try {
    return migrations.slice(written - 1).reduce((old, migrate) => migrate(old), fields);
  } catch {
    return null;
  }
}

/** Returns the text of a record of the present version. */
export function formatRecord<Schema extends v.GenericSchema>(
  fields: v.InferInput<Schema> & object,
  { version }: RecordFormat<Schema>,
): string {
  return `${JSON.stringify({ ...fields, version }, null, 2)}\n`;
}

function parseJson(text: string): Fields | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
  } catch {
    return null;
  }
}
