// The limits of inotify, which all programs of a user share. Pure.

/** A setting of the kernel that limits inotify for all programs of a user. */
export type InotifySysctl = 'fs.inotify.max_user_watches' | 'fs.inotify.max_user_instances';

/** inotify_init1(2) and inotify_add_watch(2): the error for each limit that is reached. */
const sysctls: Readonly<Record<string, InotifySysctl>> = {
  EMFILE: 'fs.inotify.max_user_instances',
  ENOSPC: 'fs.inotify.max_user_watches',
};

/** Returns the limit that an error of inotify is about; null if it is about something else. */
export function usedUpSysctl(error: unknown): InotifySysctl | null {
  const { code = '' } = error as NodeJS.ErrnoException;
  return sysctls[code] ?? null;
}
