// The result of one check as a typed value. words/words.ts makes its sentence and its command.
import type { Detail } from './details.ts';

/** The name of a check, as `virlan doctor --json` has it: names are added, never changed. */
export type CheckId =
  | 'config'
  | 'kernel'
  | 'forwarding'
  | 'dhcp-port'
  | 'dns-port'
  | 'uplink'
  | 'dnsmasq-version'
  | 'hooks'
  | 'subnet'
  | 'ledger'
  | 'macs'
  | 'neighbours'
  | 'bridge'
  | 'stp'
  | 'taps'
  | 'rules'
  | 'foreign'
  | 'tunnel'
  | 'bgp'
  | 'etcd'
  | 'clock'
  | 'hosts'
  | 'addresses'
  | 'peers'
  | 'dnsmasq'
  | 'reservations'
  | 'settings'
  | 'probe-port'
  | 'probe-lease'
  | 'probe-dns'
  | 'probe-forward'
  | 'probe-masquerade'
  | 'probe-return'
  | 'upstream-dns'
  | 'machine'
  | 'nic'
  | 'tap'
  | 'port'
  | 'packets'
  | 'discover'
  | 'reservation'
  | 'ack'
  | 'arp'
  | 'guard'
  | 'name'
  | 'forwards';

/** `warn` is worth knowing, but not a failure; `skipped` was not checked. */
export type State = 'ok' | 'warn' | 'fail' | 'skipped';

export interface Finding {
  readonly check: CheckId;
  readonly state: State;
  readonly detail: Detail;
}

/** A command to type about a finding. */
export interface Fix {
  readonly command: string;
  /**
   * True if it repairs the failure; otherwise it shows more about it. The name is that of the field in JSON.
   */
  readonly mends: boolean;
  /** True if `virlan doctor --fix` does it. */
  readonly ours: boolean;
}

/** Returns a finding without a problem. */
export function ok(check: CheckId, detail: Detail): Finding {
  return { check, state: 'ok', detail };
}

/** Returns a finding that is worth knowing, but not a failure. */
export function warn(check: CheckId, detail: Detail): Finding {
  return { check, state: 'warn', detail };
}

/** Returns a failure. */
export function fail(check: CheckId, detail: Detail): Finding {
  return { check, state: 'fail', detail };
}

/** Returns the finding of a check that was not made. */
export function skipped(check: CheckId, detail: Detail): Finding {
  return { check, state: 'skipped', detail };
}
