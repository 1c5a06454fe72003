// summary.mjs: reads uvu's summary from the output of a test file:
//   Total:     11
//   Passed:    11
//   Skipped:   0
//   Duration:  9386.86ms

// uvu exits with 0 when a `before` throws or when the event loop becomes empty, so the exit code is not a result. Only
// the summary is.
const summary = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +\d+\n {2}Duration: .*\n/m;

/** Returns whether all tests have ended. The test file should exit soon afterwards. */
export function isComplete(output) {
  return summary.test(output);
}

/** Returns the numbers of passed and failed tests, and a remark on a failure that uvu does not print, or ''. */
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
