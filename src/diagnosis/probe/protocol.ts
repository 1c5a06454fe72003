import type { Mac } from '../../address/mac.ts';

/** What the program within the probe's namespace is to do. Addresses are written out, because it travels as JSON. */
export interface Errand {
  readonly mac: Mac;
  readonly prefix: number;
  readonly gateway: string;
  /** A name that the gateway's DNS knows while the probe has its lease. */
  readonly name: string;
  /** Where packets for the outside go next; null when there is no such place. */
  readonly target: string | null;
  /** Whether to ask the gateway's DNS for something that it has to pass on. */
  readonly asksUpstream: boolean;
}

/** What came of it. What the probe did not come to is null. */
export interface Exchange {
  /** The address that was leased; the message after which nobody answered; or the server's no. */
  readonly lease:
    | { readonly ip: string }
    | { readonly silentAfter: 'DISCOVER' | 'REQUEST' }
    | { readonly nak: true };
  /** What the gateway's DNS said to the name. */
  readonly dns: { readonly addresses: readonly string[] } | { readonly error: string } | null;
  /** What it said to a question that it has to pass on: `answered`, or the error's code of c-ares. */
  readonly upstream: string | null;
  /** Whether the target answered. */
  readonly answered: boolean | null;
}
