/** What is looked at, by a name that programs may rely on: names are added, never changed. */
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
  | 'bridge'
  | 'stp'
  | 'taps'
  | 'rules'
  | 'foreign'
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
  | 'discover'
  | 'reservation'
  | 'ack'
  | 'arp';

/** A command to type about a failure. */
export interface Fix {
  readonly command: string;
  /** Whether it mends the failure, or only says more about it. */
  readonly mends: boolean;
  /** Whether `virlan doctor --fix` does that by itself. */
  readonly ours: boolean;
}

/** What came of one check. */
export interface Finding {
  readonly check: CheckId;
  readonly state: 'ok' | 'warn' | 'fail' | 'skipped';
  /** What was seen, in one line. It may hold what others wrote: not for a terminal as it stands. */
  readonly seen: string;
  readonly fix: Fix | null;
}

export function ok(check: CheckId, seen: string): Finding {
  return { check, state: 'ok', seen, fix: null };
}

export function skipped(check: CheckId, reason: string): Finding {
  return { check, state: 'skipped', seen: reason, fix: null };
}

/** What a person ought to know, though it need not be the cause of anything; the command says more. */
export function warning(check: CheckId, seen: string, command: string | null = null): Finding {
  return { check, state: 'warn', seen, fix: command === null ? null : saysMore(command) };
}

/** A failure that somebody else has to mend, by a command; null where there is none. */
export function failed(check: CheckId, seen: string, command: string | null): Finding {
  const fix = command === null ? null : { command, mends: true, ours: false };
  return { check, state: 'fail', seen, fix };
}

/** A failure whose mending is a matter of judgement: the command says more about it. */
export function unclear(check: CheckId, seen: string, command: string): Finding {
  return { check, state: 'fail', seen, fix: saysMore(command) };
}

/** A failure that virlan can mend. */
export function mendable(check: CheckId, seen: string, command = 'virlan up'): Finding {
  return { check, state: 'fail', seen, fix: { command, mends: true, ours: true } };
}

function saysMore(command: string): Fix {
  return { command, mends: false, ours: false };
}
