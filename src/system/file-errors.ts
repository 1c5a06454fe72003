// Kinds of errors of files. Pure.

/**
 * Returns whether the object of a file of the kernel went after the file was opened: a link of /sys (EINVAL or ENODEV,
 * dev_attr_show and net-sysfs.c), or a process of /proc (ESRCH).
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
