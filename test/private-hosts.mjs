// private-hosts.mjs: runs test files, each *.test.ts in a private host of its own (test/sandbox/enter.sh).
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { basename } from 'node:path';
import { build } from 'esbuild';
import { isComplete, totalsOf } from './summary.mjs';

const checkout = new URL('..', import.meta.url).pathname;

/** Replaces uvu by test/uvu.mjs in test files. */
const printedHooks = {
  name: 'printed hooks',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^uvu$/ }, ({ importer }) =>
      importer.endsWith('.test.ts') ? { path: `${checkout}test/uvu.mjs` } : undefined,
    ),
};

/** Bundles files for a private host into a directory below the checkout. */
export async function bundle(files, built) {
  mkdirSync(built, { recursive: true });
  await build({
    entryPoints: files,
    outdir: built,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    plugins: [printedHooks],
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    sourcemap: 'inline',
    logLevel: 'warning',
    absWorkingDir: checkout,
  });
}

/** Installs virlan once for all files that are bundled into a directory: it takes longer than to copy what was installed. */
export function install(built) {
  const archive = openSync(`${built}/installed.tar`, 'w');
  const output = ['ignore', archive, 'pipe'];
  execFileSync('test/sandbox/enter.sh', ['sh', 'test/sandbox/installed.sh'], {
    cwd: checkout,
    stdio: output,
  });
  closeSync(archive);
}

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** Returns the command line that runs the bundle of a file in a private host. */
export function inPrivateHost(file, built, ...args) {
  const bundled = `${built}/${basename(file, '.ts')}.cjs`;
  return ['test/sandbox/enter.sh', 'node', '--enable-source-maps', bundled, ...args];
}

/**
 * Runs a test file by its command line until uvu prints its summary, kills processes that the tests left
 * running, prints the result and returns the numbers of tests.
 */
export function runFile(name, [command, ...args], limitSeconds) {
  const started = performance.now();
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
      console.log(`--- ${name}: ${failed ? 'FAILED' : 'passed'} in ${seconds} s\n${output.trim()}\n`);
      void resolve({ passed, failed });
    });
  });
}
