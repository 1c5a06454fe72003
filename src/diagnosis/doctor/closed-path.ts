// Finds the directory or file whose mode keeps a process from reading a file. Knows no access lists (ACL). Pure.

/** The user and the groups that the kernel checks (proc(5), /proc/pid/status). */
export interface Credentials {
  readonly uid: number;
  readonly gids: readonly number[];
}

/** The owner and the permissions of a file, or of a directory on the way to it. */
export interface Permissions {
  readonly path: string;
  readonly isDirectory: boolean;
  readonly uid: number;
  readonly gid: number;
  /** The lowest nine bits of the mode. */
  readonly mode: number;
}

/** Parses the text of `/proc/PID/status`; null where it has no user. */
export function parseCredentials(status: string): Credentials | null {
  const numbers = (field: string) =>
    (new RegExp(`^${field}:(.*)$`, 'm').exec(status)?.[1]?.match(/\d+/g) ?? []).map(Number);
  // Four numbers: real, effective, saved, and that by which access to files is decided.
  const [[, , , uid], [, , , gid]] = [numbers('Uid'), numbers('Gid')];
  return uid === undefined || gid === undefined ? null : { uid, gids: [gid, ...numbers('Groups')] };
}

/** Returns the first directory that the process cannot pass, or file that it cannot read; null for none. */
export function findClosed(way: readonly Permissions[], process: Credentials): Permissions | null {
  if (process.uid === 0) return null;
  const needed = ({ isDirectory }: Permissions) => (isDirectory ? 1 : 4);
  return way.find(each => (bitsFor(process, each) & needed(each)) === 0) ?? null;
}

/** Returns the bits that count for a process: those of others neither add to the owner's nor to the group's. */
function bitsFor({ uid, gids }: Credentials, file: Permissions): number {
  if (uid === file.uid) return file.mode >> 6;
  return gids.includes(file.gid) ? file.mode >> 3 : file.mode;
}
