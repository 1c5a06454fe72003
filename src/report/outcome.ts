/** Something to log, as a hook found it; written when the hook's work is done. */
export interface LogRecord {
  readonly level: 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a hook came to. */
export interface Outcome {
  readonly records: readonly LogRecord[];
  /** Why the machine must not start, where its network has `on-error = abort`; null lets it. */
  readonly abort: string | null;
}

export function failure(message: string, fields: Record<string, unknown> = {}): LogRecord {
  return { level: 'error', message, fields };
}
