// Finds the reason of a failure in a program's standard error, such as
// `# Warning: iptables-legacy tables present, use iptables-legacy to see them`, followed by the error.

/** Errors as nft and ip mark them. */
const errorLine = /\b(error|fatal)\s*:/i;

/** Warnings: `# Warning: iptables-legacy tables present, …`, `Warning: The unit file … changed on disk.` */
const warningLine = /^(#\s*)?([\w./-]+:\s*)?(warning|note|notice|info|hint)\b/i;

/**
 * Returns the line of a program's standard error that says best why it failed: one that is marked as an
 * error, else the first that is not a warning, else the first. Null when there is none.
 */
export function tellingLine(stderr: string): string | null {
  const lines = stderr
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '');
  const others = lines.filter(line => !warningLine.test(line));
  return others.find(line => errorLine.test(line)) ?? others[0] ?? lines[0] ?? null;
}
