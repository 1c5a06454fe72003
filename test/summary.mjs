// summary.mjs: what a run of a bundled test file says of itself.

// uvu exits 0 when a `before` throws or when the event loop runs dry, so its exit status says little: what counts
// is that it came to its summary, and what stands there.
const summary = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +\d+\n {2}Duration: .*\n/m;

/** Whether a file's tests have come to their end: what runs on is left over from them. */
export const isComplete = output => summary.test(output);

/** How many tests passed and failed, and a remark for what uvu's own lines do not show. */
export function totalsOf(output) {
  const [, total = 0, passed = 0] = (summary.exec(output) ?? []).map(Number);
  if (total === 0) return { passed, failed: 1, remark: 'no test was run to its end' };
  const failed = total - passed;
  return {
    passed,
    failed,
    remark: failed > 0 && !output.includes(' FAIL ') ? 'tests not run: a before() threw' : '',
  };
}
