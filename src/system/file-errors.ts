// Kinds of errors of files. Pure.

/**
 * Returns whether a file of the kernel was opened and its object is gone: a link in /sys (EINVAL or ENODEV, dev_attr_show
 * and net-sysfs.c), or a process in /proc (ESRCH).
 */
export function hasVanished(error: unknown): boolean {
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  return syscall === 'read' && ['EINVAL', 'ENODEV', 'ESRCH'].includes(code);
}

/** Returns whether a file system has no room for another file, or takes none. */
export function isOutOfSpace(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EROFS';
}
