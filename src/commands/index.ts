// The function of each command in src/cli/table.ts. The compiler says which one is missing. Each is a bundle
// of its own: reading and compiling those of other commands takes 5 ms.
import type { Values } from '../cli/options.ts';
import type { CommandName } from '../cli/table.ts';

/** Runs a command and returns its exit code. The operands are as many as the table allows. */
type Runner = (values: Values, operands: readonly string[]) => Promise<number>;

export const runners = {
  up: async (values, names) => (await import('./up.ts')).up(values, names),
  down: async (values, names) => (await import('./down.ts')).down(values, names),
  plan: async (values, names) => (await import('./plan.ts')).plan(values, names),
  status: async values => (await import('./status.ts')).status(values),
  doctor: async (values, [name]) => (await import('./doctor.ts')).doctor(values, name ?? null),
  inventory: async values => (await import('./inventory.ts')).inventory(values),
  metrics: async values => (await import('./metrics.ts')).metrics(values),
  watch: async values => (await import('./watch.ts')).watch(values),
  mac: async (values, [name = '']) => (await import('./mac.ts')).mac(values, name),
  ip: async (values, [name = '']) => (await import('./ip.ts')).ip(values, name),
  forward: async (values, [name = '', ...forwards]) =>
    (await import('./forward.ts')).forward(values, name, forwards),
  adopt: async (values, [name = '']) => (await import('./adopt.ts')).adopt(values, name),
  forget: async (values, [name = '']) => (await import('./forget.ts')).forget(values, name),
  expel: async (values, [address = '']) => (await import('./expel.ts')).expel(values, address),
} satisfies Record<CommandName, Runner>;
