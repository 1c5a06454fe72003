import type { ConnectionError, LibvirtError } from './errors.ts';
import type { RemoteEventName } from './procedures.ts';

/** Something worth a line in a log that needs nobody to act. This library writes no log itself. */
export type Notice =
  /** A daemon could not be reached; the next attempt follows. */
  | {
      readonly kind: 'connect-failed';
      readonly socket: string;
      readonly error: ConnectionError;
      readonly retryInMs: number;
    }
  /** The daemon does not offer this, most likely for its age; the connection does without. */
  | {
      readonly kind: 'unsupported';
      readonly what: 'keepalive' | RemoteEventName;
      readonly error: LibvirtError;
    }
  /** The daemon sent an event with a number that this library does not know; it was left out. */
  | { readonly kind: 'unknown-event'; readonly procedure: number }
  /** A listener threw, or returned a promise that was rejected. */
  | { readonly kind: 'listener-failed'; readonly event: string; readonly error: unknown };
