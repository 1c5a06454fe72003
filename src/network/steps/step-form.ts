// Parts of the forms of steps in JSON output that several kinds have.
import * as v from 'valibot';
import { families } from '../../address/ip.ts';
import { backendNames } from '../../firewall/backend.ts';
import { described, integer, nullable } from '../../json-form.ts';

/** Returns the parts: src/json-form.ts tells why they are not constants. */
export function formParts() {
  const text = v.string();
  return {
    text,
    integer: integer(),
    family: v.picklist(families),
    backend: v.picklist(backendNames),
    address: v.object({ ip: text, prefixLength: integer(), broadcast: nullable(text, 'Null for none.') }),
    drift: described(
      v.array(
        v.object({
          kind: v.picklist(['missing', 'added', 'reordered', 'overruled']),
          rule: v.optional(text),
        }),
      ),
      'How the rules in the kernel differ from those that virlan loaded.',
    ),
  };
}
