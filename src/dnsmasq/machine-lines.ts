// The part of dnsmasq.conf about single machines: wildcard aliases, and network boot.

/** The comment above these lines, which end with an empty line or the file. */
export const machinesHeader = '# Machines: aliases that stand for all names below them, and network boot.';

/** Returns the lines about single machines of a configuration. */
export function readMachineLines(conf: string): string[] {
  return linesBelow(conf, machinesHeader);
}

/** Returns the lines below a comment, to an empty line or the end. */
export function linesBelow(conf: string, header: string): string[] {
  const [, below = ''] = conf.split(`${header}\n`);
  return (
    below
      .split('\n\n', 1)[0]
      ?.split('\n')
      .filter(line => line !== '') ?? []
  );
}
