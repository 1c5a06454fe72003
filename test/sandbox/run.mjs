// run.mjs [--jobs N] [--limit SECONDS] [NAMEPART...]: runs the sandbox tests whose file name has a NAMEPART.
// Each *.test.ts runs in a private host of its own; each *.test.mjs observes private hosts from outside.
import { readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { bundle, inPrivateHost, install, runFile } from '../private-hosts.mjs';

// Tests wait for some of their time: one job more than there are cores.
const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    jobs: { type: 'string', default: String(availableParallelism() + 1) },
    limit: { type: 'string', default: '1200' },
  },
});
const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/sandbox`;

/** Files that take the longest, which begin first, so that no core is idle at the end. */
const longest = [
  'doctor.test.ts',
  'doctor-reach.test.ts',
  'probe.test.ts',
  'probe-again.test.ts',
  'unknown-chains.test.ts',
  'lacking-kernel.test.ts',
  'many-machines.test.ts',
  'marked-routes.test.ts',
  'firewalls.test.ts',
  'firewalls-together.test.ts',
  'machines.test.ts',
  'install.test.ts',
  'failing-disks.test.ts',
  'flavours.test.ts',
  'unrecorded.test.ts',
  'administrators-nat.test.ts',
  'modes-iptables.test.ts',
  'forwards-firewalls.test.ts',
  'libvirt-rpc.test.ts',
  'repair.test.ts',
  'remedies.test.ts',
  'odd-hosts.test.ts',
  'firewalls-watched.test.ts',
  'watcher.test.ts',
  'soak.test.ts',
];

/**
 * Files that run alone: one measures durations, two need answers within limits of virlan's own while they load both
 * cores, and one searches for namespaces that remain, whose numbers the kernel reuses at once for the next private host.
 */
const alone = ['self-repair.test.ts', 'hooks.test.ts', 'help-examples.test.ts', 'harness-isolation.test.mjs'];

/** Failed files that run again; more of them are no accident. */
const mostRepeated = 2;

const all = readdirSync(import.meta.dirname).filter(file => /\.test\.(ts|mjs)$/.test(file));
const unknown = [...longest, ...alone].filter(file => !all.includes(file));
if (unknown.length > 0) throw new Error(`run.mjs names files that do not exist: ${unknown.join(', ')}`);

const files = all
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)))
  .sort((a, b) => Number(longest.includes(b)) - Number(longest.includes(a)));

const inside = files.filter(file => file.endsWith('.ts'));
await bundle(
  inside.map(file => `${import.meta.dirname}/${file}`),
  built,
);
install(built);

function commandFor(file) {
  return file.endsWith('.ts') ? inPrivateHost(file, built) : ['node', `test/sandbox/${file}`];
}

/** Numbers of passed and failed tests by file. */
const results = new Map();
async function work(queue) {
  for (let file = queue.shift(); file; file = queue.shift())
    results.set(file, await runFile(file, commandFor(file), Number(options.limit)));
}
const together = files.filter(file => !alone.includes(file));
await Promise.all(Array.from({ length: Number(options.jobs) }, () => work(together)));
await work(files.filter(file => alone.includes(file)));

// Runs a few failed files again: a virtual machine may stand still, and tests that run together may delay each other.
// Neither is the cause of many failures, nor of one in a part that somebody chose.
const failed = files.filter(file => results.get(file).failed > 0);
if (wanted.length === 0 && failed.length > 0 && failed.length <= mostRepeated) {
  await work([...failed]);
  for (const file of failed.filter(file => results.get(file).failed === 0))
    console.log(
      `UNRELIABLE: ${file} failed, and passed when it ran again, alone. Its first output is above.`,
    );
}

const sum = key => [...results.values()].reduce((total, result) => total + result[key], 0);
const totals = { passed: sum('passed'), failed: sum('failed') };
writeFileSync(`${built}/totals.json`, `${JSON.stringify(totals)}\n`);
console.log(`sandbox: ${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
