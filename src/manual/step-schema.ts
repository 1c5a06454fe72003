// The form of the steps in `virlan plan --json`, for docs/schema/plan.json; commands/step-list.ts writes them.
import * as v from 'valibot';
import { described } from '../json-form.ts';
import { stepForms } from '../network/steps/steps.ts';

/** The form of one step: the fields of its kind besides `do` and those that describe it. */
export const stepSchema = v.variant(
  'do',
  Object.entries(stepForms()).map(([kind, fields]) =>
    v.object({
      do: v.literal(kind),
      ...fields,
      text: described(v.string(), 'Describes the step for people.'),
      sign: described(v.picklist(['+', '~', '-']), 'Whether it adds, changes or removes something.'),
      lines: described(v.array(v.string()), 'Details for people.'),
    }),
  ),
);
