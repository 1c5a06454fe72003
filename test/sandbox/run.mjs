// run.mjs [--jobs N] [--limit SECONDS] [NAMEPART...]: runs the sandbox tests whose file name has a NAMEPART.
// Each *.test.ts runs in a private host of its own; each *.test.mjs observes private hosts from outside.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { isComplete, totalsOf } from '../summary.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: 'string', default: '2' }, limit: { type: 'string', default: '480' } },
});
const limitSeconds = Number(options.limit);
const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/sandbox`;

const files = readdirSync(import.meta.dirname)
  .filter(file => /\.test\.(ts|mjs)$/.test(file))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));

mkdirSync(built, { recursive: true });
const inside = files.filter(file => file.endsWith('.ts'));
await build({
  entryPoints: inside.map(file => `${import.meta.dirname}/${file}`),
  outdir: built,
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: 'inline',
  logLevel: 'warning',
  absWorkingDir: checkout,
});

function commandFor(file) {
  return file.endsWith('.ts')
    ? ['test/sandbox/enter.sh', 'node', '--enable-source-maps', `${built}/${file.replace(/\.ts$/, '.cjs')}`]
    : ['node', `test/sandbox/${file}`];
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** Runs one file until uvu prints its summary, then kills processes that the tests left running. */
function runFile(file) {
  const started = performance.now();
  const [command, ...args] = commandFor(file);
  const child = spawn(command, args, { cwd: checkout, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let output = '';
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, limitSeconds * 1000);
  const collect = chunk => {
    output += chunk;
    if (isComplete(output)) child.kill('SIGKILL');
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  return new Promise(resolve => {
    child.on('close', () => {
      clearTimeout(timer);
      running.delete(child);
      const { passed, failed, remark } = totalsOf(output);
      output += isLate ? `\nkilled: not finished after ${limitSeconds} s\n` : `\n${remark}\n`;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`--- ${file}: ${failed ? 'FAILED' : 'passed'} in ${seconds} s\n${output.trim()}\n`);
      void resolve({ passed, failed });
    });
  });
}

/**
 * Files that run alone: two measure durations, and the third searches for namespaces that remain, whose
 * numbers the kernel reuses at once for the next private host.
 */
const alone = ['many-machines.test.ts', 'self-repair.test.ts', 'harness-isolation.test.mjs'];

const totals = { passed: 0, failed: 0 };
async function work(queue) {
  for (let file = queue.shift(); file; file = queue.shift()) {
    const { passed, failed } = await runFile(file);
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
