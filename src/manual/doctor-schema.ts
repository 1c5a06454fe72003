// The form of `virlan doctor --json`, for docs/schema/doctor.json; commands/doctor.ts writes it.
import * as v from 'valibot';
import type { State } from '../diagnosis/finding.ts';
import { described, nullable } from '../json-form.ts';
import { fix } from './schema-parts.ts';

const states = ['ok', 'warn', 'fail', 'skipped'] as const satisfies readonly State[];

const named = {
  about: described(
    v.string(),
    '`host`, `network NAME`, or the machine and its NIC. It may contain hostile names.',
  ),
  check: described(v.string(), 'The name of the check; names are added, never changed.'),
  code: described(v.string(), 'Codes are added, never renamed.'),
  seen: described(v.string(), 'For people.'),
};

export const doctorSchema = v.object({
  well: described(v.boolean(), 'Whether no check failed.'),
  explanation: nullable(v.object({ ...named, fix: v.nullable(fix) }), 'The first failure.'),
  mended: v.optional(described(v.array(v.object(named)), 'What `--fix` repaired.')),
  checks: v.array(v.object({ ...named, fix: v.nullable(fix), state: v.picklist(states) })),
  decisions: v.optional(
    described(
      v.array(
        v.object({
          about: v.string(),
          why: v.array(v.objectWithRest({ kind: v.string(), text: v.string() }, v.unknown())),
        }),
      ),
      'With `--verbose`: the decisions of virlan.',
    ),
  ),
});
