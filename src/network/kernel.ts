// Decides whether the running kernel can still load its modules. Pure.

/**
 * Returns whether an upgrade has removed the modules of the running kernel: there are those of others. A
 * kernel without any modules has none to load. `installed` are the names in /lib/modules.
 */
export function isKernelReplaced(release: string, installed: readonly string[]): boolean {
  return installed.length > 0 && !installed.includes(release);
}

/** Describes it in one line, with the remedy. */
export function kernelReplacedText(release: string): string {
  return `the modules of the running kernel ${release} are gone, as after an upgrade of the kernel: reboot`;
}
