// Parts that several schemas of JSON output share.
import * as v from 'valibot';
import type { Fix } from '../diagnosis/finding.ts';
import { described } from '../json-form.ts';

/** The form of a command about a finding. */
export const fix = v.object({
  command: described(v.string(), 'For a shell.'),
  mends: described(v.boolean(), 'Whether it repairs the failure; otherwise it shows more about it.'),
  ours: described(v.boolean(), 'Whether virlan does it: `virlan up`, or `virlan doctor --fix`.'),
});
null as unknown as Fix satisfies v.InferOutput<typeof fix>;
null as unknown as v.InferOutput<typeof fix> satisfies Fix;
