// `virlan status --watch`: draws the status on the whole terminal as it changes, or prints each as JSON.
import { setTimeout as pause } from 'node:timers/promises';
import type { Values } from '../cli/options.ts';
import { statusScreen, type View } from '../cli/status-screen.ts';
import { printJsonLine, progress } from '../cli/terminal.ts';
import { VirlanError } from '../errors.ts';
import { paths } from '../system/paths.ts';
import { type FollowedStatus, followStatus } from '../watcher/socket/client.ts';
import { isOnTerminal, Screen, type StopReason } from './screen.ts';

/** A watcher that restarts is there again within seconds. */
const reconnectMs = 500;

/** Follows the watcher's status. Returns the exit code. */
export async function watchStatus({ json, config }: Values): Promise<number> {
  if (config !== paths.config)
    throw new VirlanError('usage', 'status --watch shows what the watcher does: leave out --config');
  if (!json && !isOnTerminal())
    throw new VirlanError('usage', 'status --watch needs a terminal: for programs, add --json');
  const stop = new AbortController();
  const statuses = followStatus(stop.signal);
  const first = await progress('waiting for the watcher', statuses.next());
  if (first.done) throw new VirlanError('wrong-state', 'no watcher to follow: systemctl start virlan');
  return json ? printAll(first.value, statuses) : show(first.value, statuses, stop);
}

/** Prints each status until the watcher ends. */
async function printAll(first: FollowedStatus, statuses: AsyncIterable<FollowedStatus>): Promise<number> {
  printJsonLine(lineOf(first));
  for await (const followed of statuses) printJsonLine(lineOf(followed));
  throw new VirlanError('wrong-state', 'the watcher has ended: see systemctl status virlan');
}

/** Returns a reading as the watcher's stream has it. */
function lineOf(followed: FollowedStatus): object {
  return followed.kind === 'read' ? followed.status : { error: followed.error };
}

/** Shows the status until a key, a signal or the end of the terminal stops it, also while the watcher restarts. */
async function show(
  first: FollowedStatus,
  statuses: AsyncIterable<FollowedStatus>,
  stop: AbortController,
): Promise<number> {
  const { signal } = stop;
  let view = viewAfter({ status: null, error: null, awaySince: null }, first);
  const screen = new Screen(size => statusScreen(view, size), stop);
  try {
    for (let followed = statuses; !signal.aborted; followed = followStatus(signal)) {
      for await (const each of followed) {
        view = viewAfter(view, each);
        screen.draw();
      }
      view = { ...view, awaySince: view.awaySince ?? new Date() };
      screen.draw();
      await pause(reconnectMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    screen.close();
  }
  const { reason }: { readonly reason: StopReason } = signal;
  if (reason !== 'closed') process.kill(process.pid, reason);
  return 0;
}

function viewAfter({ status }: View, followed: FollowedStatus): View {
  return followed.kind === 'read'
    ? { status: followed.status, error: null, awaySince: null }
    : { status, error: followed.error, awaySince: null };
}
