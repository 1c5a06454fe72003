// soak.ts: executes random actions on a world, such as a host, and checks the invariants after each.
import type { Random } from './random.ts';

/** An action on a world. */
export interface Action<World> {
  readonly name: string;
  /** Its probability, in proportion to that of the others. */
  readonly weight: number;
  readonly isPossible: (world: World) => boolean;
  /** Executes the action. Returns its object for the log, or ''. */
  readonly act: (world: World) => Promise<string>;
}

/** Supplies a soak with its world, its actions and the checks. */
export interface Subject<World> {
  makeWorld(seed: number): Promise<World>;
  readonly actions: readonly Action<World>[];
  /** Throws for the first invariant that does not hold. Returns a measurement for the log, or ''. */
  check(world: World): Promise<string>;
  /** Checks what is left at the end. */
  end(world: World): Promise<void>;
  /** Returns the state of the world, for the report of a failure. */
  report(world: World): Promise<string>;
}

/**
 * Executes actions for some seconds, chosen by the seed, and checks the invariants after each. Throws an
 * Error with the seed and the step for the first failure.
 */
export async function soak<World extends { readonly random: Random }>(
  { makeWorld, actions, check, end, report }: Subject<World>,
  { seed, seconds }: { readonly seed: number; readonly seconds: number },
  say: (line: string) => void,
): Promise<void> {
  say(`seed ${seed}`);
  const world = await makeWorld(seed);
  const endMs = performance.now() + seconds * 1000;
  const counts = new Map<string, number>();
  const reported = async (place: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      throw new Error(`seed ${seed}, ${place}: ${(error as Error).stack}\n${await report(world)}`);
    }
  };
  for (let step = 1; performance.now() < endMs; step++) {
    const action = choose(actions, world);
    await reported(`step ${step}, ${action.name}`, async () => {
      const began = performance.now();
      const object = await action.act(world);
      const measured = await check(world);
      const took = `${((performance.now() - began) / 1000).toFixed(1)} s`;
      const details = [took, measured].filter(text => text !== '').join(', ');
      say(`${step}. ${action.name}${object === '' ? '' : `: ${object}`} (${details})`);
      counts.set(action.name, (counts.get(action.name) ?? 0) + 1);
    });
  }
  await reported('end', () => end(world));
  say([...counts].map(([name, count]) => `${count} × ${name}`).join(', '));
}

/** Chooses the next action. It depends on the seed and the earlier actions alone. */
function choose<World extends { readonly random: Random }>(
  actions: readonly Action<World>[],
  world: World,
): Action<World> {
  const possible = actions.filter(action => action.isPossible(world));
  return world.random.pick(possible.flatMap(action => Array.from({ length: action.weight }, () => action)));
}
