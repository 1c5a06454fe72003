// The ledger's first format, which virlan 0.1 wrote: one file with a header, then a line for each NIC.
//   {"virlan":"ledger","version":1}
//   {"network":"k8s-br0","uuid":"6b4a5c7e-…","name":"web","nic":0,"macs":["52:54:00:c5:f2:a7"], …}
// Only the header is still written: an earlier virlan that finds it refuses to begin a new ledger.
import * as v from 'valibot';
import type { Result } from '../result.ts';
import { type Fields, readEntry, type StoredEntry } from './ledger-format.ts';

/** The version whose entries are in files of their own. */
export const ledgerVersion = 2;

export const header = `{"virlan":"ledger","version":${ledgerVersion}}\n`;

const headerSchema = v.object({
  virlan: v.literal('ledger'),
  version: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** Returns the version that the first line of a text states; null when it is not a header. */
export function readVersion(text: string): number | null {
  const [first = ''] = text.split('\n', 1);
  const result = v.safeParse(headerSchema, parseJson(first));
  return result.success ? result.output.version : null;
}

/** Reads the entries of version 1. An error is `line 7 is not an entry`. */
export function readLines(text: string): Result<StoredEntry[]> {
  const lines = text.split('\n');
  if (lines.pop() !== '') return { ok: false, error: `line ${lines.length + 1} is cut short` };
  const entries: StoredEntry[] = [];
  for (const [index, line] of lines.entries()) {
    if (index === 0) continue;
    const fields = parseJson(line);
    const read = readEntry(fields);
    if (!read.ok) {
      const what = fields === undefined ? 'is not an entry' : read.error;
      return { ok: false, error: `line ${index + 1} ${what}` };
    }
    entries.push({ fields: fields as Fields, entry: read.value });
  }
  return { ok: true, value: entries };
}

/** Returns undefined, which JSON cannot hold, for a text that is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
