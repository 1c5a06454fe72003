// The state of an action that runs on the host: one at a time.
import { useState } from 'react';

export interface Action {
  readonly isRunning: boolean;
  /** Why the last one failed; null when it did not. */
  readonly error: string | null;
  /** Runs the work; resolves to whether it succeeded. */
  run(work: () => Promise<unknown>): Promise<boolean>;
}

/** Returns the state of actions of one place of the page. */
export function useAction(): Action {
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const run = async (work: () => Promise<unknown>) => {
    setRunning(true);
    setError(null);
    try {
      await work();
      return true;
    } catch (thrown) {
      setError((thrown as Error).message);
      return false;
    } finally {
      setRunning(false);
    }
  };
  return { isRunning, error, run };
}
