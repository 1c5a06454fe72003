// docs/schema/*.json: JSON schemas of what `virlan status`, `plan` and `doctor` print with --json.
import { toJsonSchema } from '@valibot/to-json-schema';
import type * as v from 'valibot';
import { doctorSchema } from './doctor-schema.ts';
import { statusSchema } from './status-schema.ts';
import { stepSchema } from './step-schema.ts';

/** Returns docs/schema/status.json. */
export function renderStatusSchema(): string {
  return render('status', converted(statusSchema));
}

/** Returns docs/schema/doctor.json. */
export function renderDoctorSchema(): string {
  return render('doctor', converted(doctorSchema));
}

/** Returns docs/schema/plan.json. A network has a key of its own, which valibot has no words for. */
export function renderPlanSchema(): string {
  const steps = { type: 'array', items: { $ref: '#/$defs/step' } };
  return render('plan', {
    type: 'object',
    properties: { changes: { type: 'integer', description: 'The number of all steps.' }, host: steps },
    patternProperties: { '^network ': steps },
    required: ['changes', 'host'],
    $defs: { step: converted(stepSchema) },
  });
}

/** Returns a schema that accepts further fields: they may be added in any version. */
function converted(schema: v.GenericSchema): object {
  const { $schema: _, ...own } = toJsonSchema(schema, { target: 'draft-2020-12' });
  return own;
}

function render(command: string, schema: object): string {
  const whole = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `virlan ${command} --json`,
    description: 'Fields are added, never renamed or removed. docs/json.md explains them.',
    ...schema,
  };
  return `${JSON.stringify(whole, null, 2)}\n`;
}
