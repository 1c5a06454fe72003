// Follows the status on the watcher's socket, through Cockpit, and connects again while there is none.
import { absenceOf, type Connection, notYet, StatusLines } from './model/connection.ts';

const socket = '/run/virlan/socket';

/** Pause before the next attempt: nothing announces a watcher that comes. */
const retryMs = 2000;

/** Calls back with each change of the connection. Returns a function that ends it. */
export function followWatcher(changed: (connection: Connection) => void): () => void {
  let hasEnded = false;
  let timer: number | undefined;
  let last = notYet;
  let close = () => {};
  const set = (connection: Connection) => {
    // The last status is still shown: it is better than none.
    last = { ...connection, status: connection.status ?? last.status };
    changed(last);
  };
  const connect = () => {
    const lines = new StatusLines();
    const request = cockpit.http(socket, { superuser: 'require' }).get('/v1/follow');
    const ended = (problem: string | null, message: string) => {
      if (hasEnded) return;
      set({ status: null, absence: absenceOf(problem, message) });
      timer = window.setTimeout(connect, retryMs);
    };
    request
      .stream(text => {
        const next = lines.push(text);
        if (next !== null) set(next);
      })
      .then(
        () => ended(null, ''),
        ({ problem, message }) => ended(problem, message),
      );
    close = () => request.close();
  };
  connect();
  return () => {
    hasEnded = true;
    window.clearTimeout(timer);
    close();
  };
}
