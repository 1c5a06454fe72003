// sum.mjs: the totals of all parts of a test run in one line; a part that did not come to its end counts as failed.
import { existsSync, readFileSync } from 'node:fs';

const built = new URL('../build/', import.meta.url);
const parts = ['unit', 'sandbox'].map(part => {
  const totals = new URL(`${part}/totals.json`, built);
  return existsSync(totals) ? JSON.parse(readFileSync(totals, 'utf8')) : { passed: 0, failed: 1 };
});
const check = existsSync(new URL('checked', built)) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
const sum = key => [check, ...parts].reduce((total, part) => total + part[key], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
