// run.mjs [--limit SECONDS] [NAMEPART...]: builds all packages of a release, and runs the tests of them whose file name has
// a NAMEPART: what takes too long for `npm test`, because a package with Node.js has 46 MB.
//
// Each test file runs in a private host. Its arguments are the directories of the packages and of the Debian roots.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundle, inPrivateHost, runFile } from '../private-hosts.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { limit: { type: 'string', default: '900' } },
});
const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/test-packages`;
const packages = `${checkout}build/packages-tested`;
const cache = '/var/cache/virlan-test';

const files = readdirSync(import.meta.dirname)
  .filter(file => file.endsWith('.test.ts'))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));
await bundle(
  files.map(file => `${import.meta.dirname}/${file}`),
  built,
);

function run(script, ...args) {
  execFileSync('sh', [`${checkout}${script}`, ...args], { stdio: ['ignore', 2, 2] });
}

rmSync(packages, { recursive: true, force: true });
run('install/package/build.sh', '--directory', packages, 'virlan', 'virlan-standalone', 'cockpit-virlan');
run('install/package/build.sh', '--directory', packages, '--cpu', 'arm64', 'virlan-standalone');

/** Makes a Debian or Ubuntu with apt and what the packages depend on. Makes it anew if the script or what they need has changed. */
function makeRoot(suite) {
  const script = 'test/packages/debian-root.sh';
  const control = 'install/package/control';
  const sources = [script, ...readdirSync(`${checkout}${control}`).map(name => `${control}/${name}`)];
  const hash = createHash('sha256');
  for (const path of sources) hash.update(readFileSync(`${checkout}${path}`));
  const root = `${cache}/${suite}-root-${hash.digest('hex').slice(0, 16)}`;
  if (!existsSync(root)) {
    console.log(`>> making ${root}`);
    rmSync(`${root}.new`, { recursive: true, force: true });
    run(script, suite, packages, `${root}.new`);
    renameSync(`${root}.new`, root);
  }
  return root;
}

const roots = ['bookworm', 'trixie', 'noble'].map(makeRoot);
const totals = { passed: 0, failed: 0 };
for (const file of files) {
  const command = inPrivateHost(file, built, packages, ...roots);
  const { passed, failed } = await runFile(file, command, Number(options.limit));
  totals.passed += passed;
  totals.failed += failed;
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
