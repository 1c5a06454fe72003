// The function of each command in src/cli/table.ts. The compiler says which one is missing.
import type { CommandName, Values } from '../cli/table.ts';
import { doctor } from './doctor.ts';
import { down } from './down.ts';
import { adopt, forget, ip, mac } from './identity.ts';
import { plan } from './plan.ts';
import { status } from './status.ts';
import { up } from './up.ts';
import { watch } from './watch.ts';

/** Runs a command and returns its exit code. The operands are as many as the table allows. */
type Runner = (values: Values, operands: readonly string[]) => Promise<number>;

export const runners = {
  up,
  down,
  plan,
  status,
  doctor: (values, [name]) => doctor(values, name ?? null),
  watch,
  mac: (values, [name = '']) => mac(values, name),
  ip: (values, [name = '']) => ip(values, name),
  adopt: (values, [name = '']) => adopt(values, name),
  forget: (values, [name = '']) => forget(values, name),
} satisfies Record<CommandName, Runner>;
