// Decides whether the running kernel can still load its modules. Pure.

/**
 * Returns whether an upgrade has removed the modules of the running kernel: there are those of others. A kernel without
 * any modules has none to load. `installed` are the releases of which there are modules.
 */
export function isKernelReplaced(release: string, installed: readonly string[]): boolean {
  return installed.length > 0 && !installed.includes(release);
}
