// run.mjs [--jobs N] [--limit SECONDS] [NAMEPART...]: runs the sandbox tests whose file name has a NAMEPART.
// Each *.test.ts runs in a private host of its own; each *.test.mjs observes private hosts from outside.
import { readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundle, inPrivateHost, runFile } from '../private-hosts.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string', default: '2' }, limit: { type: 'string', default: '480' } },
});
const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/sandbox`;

const files = readdirSync(import.meta.dirname)
  .filter(file => /\.test\.(ts|mjs)$/.test(file))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));

const inside = files.filter(file => file.endsWith('.ts'));
await bundle(
  inside.map(file => `${import.meta.dirname}/${file}`),
  built,
);

function commandFor(file) {
  return file.endsWith('.ts') ? inPrivateHost(file, built) : ['node', `test/sandbox/${file}`];
}

/**
 * Files that run alone: two measure durations, and the third searches for namespaces that remain, whose
 * numbers the kernel reuses at once for the next private host.
 */
const alone = ['many-machines.test.ts', 'self-repair.test.ts', 'harness-isolation.test.mjs'];

const totals = { passed: 0, failed: 0 };
async function work(queue) {
  for (let file = queue.shift(); file; file = queue.shift()) {
    const { passed, failed } = await runFile(file, commandFor(file), Number(options.limit));
    totals.passed += passed;
    totals.failed += failed;
  }
}
const together = files.filter(file => !alone.includes(file));
await Promise.all(Array.from({ length: Number(options.jobs) }, () => work(together)));
await work(files.filter(file => alone.includes(file)));

writeFileSync(`${built}/totals.json`, `${JSON.stringify(totals)}\n`);
console.log(`sandbox: ${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
