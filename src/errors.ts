// Errors that virlan throws on purpose, each with a stable code. Programs branch on the code, never on the
// message.

export type VirlanErrorCode =
  /** The command line is not valid: exit code 2. */
  | 'usage'
  /** virlan.ini, or a configuration named with --config, cannot be used. */
  | 'invalid-config'
  /** Establishing the network would conflict with another network of the host. */
  | 'refused'
  /** A step of a plan failed; the host was put back as it was, or the message says what was not. */
  | 'apply-failed'
  /** None of the firewall programs that the configuration allows is installed. */
  | 'no-backend'
  /** dnsmasq cannot bind a port because another program has it. */
  | 'port-in-use'
  /** A file that virlan keeps, or shares with others, does not have the form it should have. */
  | 'damaged-file'
  /** A file or a sysctl cannot be written. */
  | 'write-failed'
  /** A file that virlan keeps was written by a newer virlan, in a version of its format that is not known. */
  | 'newer-format'
  /** A machine has no reservation, and its network is configured not to start it then (on-error = abort). */
  | 'reservation-failed'
  /** dnsmasq rejects its new configuration. */
  | 'rejected-configuration'
  /** Another firewall's program, or the tool that lists its rules, replied in an unknown form. */
  | 'unreadable-firewall'
  /** A program that reports changes of the host ended or is missing. */
  | 'monitor-failed'
  /** Another virlan process held a lock for too long. */
  | 'lock-timeout'
  /** A program of the system is not installed, failed, or did not end in time. */
  | 'command'
  /** libvirt passed XML that cannot be read, or that lacks an element that virlan has to change. */
  | 'unreadable-xml'
  /** The network, host, machine or link that was named does not exist, or is not what it has to be. */
  | 'unknown-network'
  | 'unknown-host'
  | 'unknown-machine'
  | 'wrong-link'
  /** The pool has no free address. */
  | 'pool-exhausted'
  /** The request is not possible in the present state, for example while a machine runs. */
  | 'wrong-state'
  /** etcd did not answer, or refused. */
  | 'etcd-failed'
  /** The command needs root. */
  | 'not-root';

/**
 * A failure with a stable code. Its message is one line: what failed, on which object, why, and what to do.
 */
export class VirlanError extends Error {
  /** The name of the class, the same in each bundle. Each subclass has one of its own. */
  static readonly label: string = 'VirlanError';

  override readonly name: string;
  readonly code: VirlanErrorCode;

  constructor(code: VirlanErrorCode, message: string, options?: { readonly cause: unknown }) {
    super(message, options);
    this.name = new.target.label;
    this.code = code;
  }

  /** Compares labels: each bundle has a class of its own, and errors are thrown from one bundle to another. */
  static override [Symbol.hasInstance](this: { readonly label: string }, error: unknown): boolean {
    for (let type = Object(error).constructor; type; type = Object.getPrototypeOf(type))
      // biome-ignore lint/complexity/noThisInStatic: the class on the right of instanceof, which may be a subclass.
      if (type.label === this.label) return true;
    return false;
  }
}

/** A file, a directory or a sysctl that cannot be written. */
export class WriteError extends VirlanError {
  static override readonly label = 'WriteError';

  readonly path: string;

  constructor(path: string, cause: unknown, problem = `${path} cannot be written`) {
    const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
    // After an error of its disk, the kernel makes a file system read-only.
    const remedy = code === 'EIO' || code === 'EROFS' ? ': see "dmesg"' : '';
    super('write-failed', `${problem}: ${messageOf(cause)}${remedy}`, { cause });
    this.path = path;
  }
}

/**
 * The reason of a CommandError: the program is not installed, could not be started (no free descriptor, process or
 * memory), took too long, failed, or was killed. Only 'failed' is an answer of the program itself.
 */
export type CommandFailure = 'missing' | 'not-started' | 'timeout' | 'failed' | 'killed';

/** A program of the system that could not be run, failed or took too long. */
export class CommandError extends VirlanError {
  static override readonly label = 'CommandError';

  readonly reason: CommandFailure;
  /** Null when the program did not run to its end. */
  readonly exitCode: number | null;
  /** The program's standard error. */
  readonly stderr: string;

  constructor(
    message: string,
    details: {
      readonly reason: CommandFailure;
      readonly exitCode: number | null;
      readonly stderr: string;
      readonly cause?: unknown;
    },
  ) {
    super('command', message, { cause: details.cause });
    this.reason = details.reason;
    this.exitCode = details.exitCode;
    this.stderr = details.stderr;
  }
}

/** Returns the message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
