// Notices: what a program may want to log but does not have to act on. This package writes no log itself.

import type { ConnectionError, LibvirtError } from './errors.ts';
import type { RemoteEventName } from './procedures.ts';

/** An event worth a line in a log, told apart by `kind`. */
export type Notice =
  /** A daemon could not be reached; the next attempt follows after `retryInMs`. */
  | {
      readonly kind: 'connect-failed';
      /** Path of the daemon's socket. */
      readonly socket: string;
      readonly error: ConnectionError;
      readonly retryInMs: number;
    }
  /** The daemon does not have this, usually because it is older; the connection works without it. */
  | {
      readonly kind: 'unsupported';
      readonly what: 'keepalive' | RemoteEventName;
      readonly error: LibvirtError;
    }
  /** The daemon sent an event with a procedure number that this package does not know; it was ignored. */
  | { readonly kind: 'unknown-event'; readonly procedure: number }
  /** A listener of the named event threw an error, or returned a promise that was rejected. */
  | { readonly kind: 'listener-failed'; readonly event: string; readonly error: unknown };
