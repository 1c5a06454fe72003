// The words for a kernel without its modules. Pure.

/** Describes in one line that the modules of the running kernel are gone, with the remedy. */
export function kernelReplacedText(release: string): string {
  return `the modules of the running kernel ${release} are gone, as after an upgrade of the kernel: reboot`;
}
