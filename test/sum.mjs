// sum.mjs: prints the totals of all test parts in one line.
//
// Each part writes its totals.json last. A part without this file counts as one failed test.
import { existsSync, readFileSync } from 'node:fs';

const buildDirectory = new URL('../build/', import.meta.url);
const parts = ['unit', 'sandbox'].map(part => {
  const totals = new URL(`${part}/totals.json`, buildDirectory);
  return existsSync(totals) ? JSON.parse(readFileSync(totals, 'utf8')) : { passed: 0, failed: 1 };
});
const check = existsSync(new URL('checked', buildDirectory))
  ? { passed: 1, failed: 0 }
  : { passed: 0, failed: 1 };

function sum(key) {
  return [check, ...parts].reduce((total, part) => total + part[key], 0);
}

console.log(`${sum('passed')} passed, ${sum('failed')} failed`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
