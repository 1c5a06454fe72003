// run.mjs [--limit SECONDS] [debian12] [debian13] [ubuntu2404] [installer] [packages]: tests the installation of virlan on
// virtual machines that boot: by install.sh (installer/), and by the .deb for that system (packages/). Without names: all.
//
// A machine has an image, which image.sh builds once, and a copy-on-write layer for each directory of tests. It boots
// once for each *.test.ts, in the order of their names, runs it, and shuts down. Its second disk is a tar file of
// this checkout. A virtio port writes the output of the tests to build/machine/MACHINE-DIRECTORY-TEST.log.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { bundle } from '../private-hosts.mjs';
import { totalsOf } from '../summary.mjs';

const suites = { debian12: 'bookworm', debian13: 'trixie', ubuntu2404: 'noble' };
/** The package that is for each: `virlan-standalone` has the Node.js that others lack. */
const packageOf = { debian12: 'virlan-standalone', debian13: 'virlan', ubuntu2404: 'virlan-standalone' };
const directories = ['installer', 'packages'];
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  // The limit of one boot. A host without KVM needs most of it.
  options: { limit: { type: 'string', default: '1200' } },
});
const unknown = positionals.find(name => !(name in suites) && !directories.includes(name));
if (unknown)
  throw new Error(`unknown ${unknown}: choose from ${[...Object.keys(suites), ...directories].join(', ')}`);
/** Returns those of the names that the command line has, or all if it has none of them. */
const chosen = names => {
  const named = names.filter(name => positionals.includes(name));
  return named.length > 0 ? named : names;
};
const machines = chosen(Object.keys(suites));
const chains = chosen(directories).map(directory => ({
  directory,
  files: readdirSync(`${import.meta.dirname}/${directory}`)
    .filter(file => file.endsWith('.test.ts'))
    .sort(),
}));

const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/machine`;
const cache = '/var/cache/virlan-test';

const running = new Set();
const layers = mkdtempSync('/var/tmp/virlan-machines-');
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(layers, { recursive: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

rmSync(built, { recursive: true, force: true });
mkdirSync(built, { recursive: true });
for (const { directory, files } of chains)
  await bundle(
    files.map(file => `${import.meta.dirname}/${directory}/${file}`),
    `${built}/${directory}`,
  );
if (chains.some(({ directory }) => directory === 'packages'))
  for (const machine of machines) {
    const script = `${import.meta.dirname}/packages/build.sh`;
    execFileSync('sh', [script, packageOf[machine], `${built}/${machine}`], { stdio: ['ignore', 2, 2] });
  }
const tar = `${layers}/checkout.tar`;
const tracked = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  cwd: checkout,
});
execFileSync(
  'tar',
  ['-cf', tar, '--owner=0', '--group=0', 'dist', 'build/machine', '--null', '--files-from=-'],
  {
    cwd: checkout,
    input: tracked,
  },
);

/** Returns the directory of a machine's image. Builds the image if image.sh or Node has changed since. */
function imageOf(name) {
  const script = `${import.meta.dirname}/image.sh`;
  const key = createHash('sha256')
    .update(readFileSync(script))
    .update(process.version)
    .digest('hex')
    .slice(0, 16);
  const image = `${cache}/${name}-${key}`;
  if (!existsSync(image)) {
    console.log(`>> building ${image}`);
    rmSync(`${image}.new`, { recursive: true, force: true });
    execFileSync('sh', [script, suites[name], process.execPath, `${image}.new`], { stdio: ['ignore', 2, 2] });
    renameSync(`${image}.new`, image);
  }
  return image;
}

/** Returns the arguments of QEMU for one boot. */
function qemuArguments({ run, machine, image, test, log }) {
  return [
    // Debian 13 panics at random in QEMU 7.2's emulation: with cx16 or la57, and when one processor patches
    // code that another one runs.
    ...'-accel tcg -cpu max,cx16=off,la57=off -smp 1 -m 2560 -nodefaults -display none -no-reboot'.split(' '),
    ...'-nic user,model=virtio-net-pci -device virtio-rng-pci -device virtio-serial-pci'.split(' '),
    ...['-chardev', `file,id=output,path=${log}`, '-device', 'virtserialport,chardev=output,name=output'],
    ...['-serial', `file:${layers}/${run}.console`],
    ...['-drive', `file=${layers}/${run}.qcow2,if=virtio,format=qcow2,cache=unsafe`],
    ...['-drive', `file=${tar},if=virtio,format=raw,readonly=on`],
    ...['-kernel', `${image}/vmlinuz`, '-initrd', `${image}/initrd.img`],
    ...[
      '-append',
      `console=ttyS0 panic=1 root=/dev/vda rw quiet mitigations=off net.ifnames=0 virlan.test=${test} virlan.machine=${machine}`,
    ],
  ];
}

/** Boots a machine for one test file. Resolves when it has shut down, with the numbers of tests. */
function boot({ machine, image, directory, file }) {
  const started = performance.now();
  const run = `${machine}-${directory}`;
  const test = `${directory}/${file.replace(/\.ts$/, '')}`;
  const log = `${built}/${machine}-${test.replace('/', '-')}.log`;
  const child = spawn('qemu-system-x86_64', qemuArguments({ run, machine, image, test, log }), {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  running.add(child);
  let timedOut = 0;
  const timer = setTimeout(() => {
    timedOut = 1;
    child.kill('SIGKILL');
  }, Number(options.limit) * 1000);
  return new Promise(resolve => {
    child.on('close', () => {
      clearTimeout(timer);
      running.delete(child);
      const printed = readFileSync(log, 'utf8');
      const { passed, failed, remark } = totalsOf(printed);
      let output = `${printed}\n${timedOut ? `killed: it had not shut down after ${options.limit} s` : remark}\n`;
      if (failed + timedOut > 0) output += readFileSync(`${layers}/${run}.console`, 'utf8').slice(-3000);
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.log(
        `--- ${machine}, ${test}: ${failed + timedOut ? 'FAILED' : 'passed'} in ${seconds} s\n${output.trim()}\n`,
      );
      void resolve({ passed, failed: failed + timedOut });
    });
  });
}

const totals = { passed: 0, failed: 0 };

/** Boots a new layer of an image once for each test file of a directory. */
async function bootAll({ machine, image }, { directory, files }) {
  const layer = `create -q -f qcow2 -b ${image}/disk.img -F raw ${layers}/${machine}-${directory}.qcow2`;
  execFileSync('qemu-img', layer.split(' '));
  for (const file of files) {
    const { passed, failed } = await boot({ machine, image, directory, file });
    totals.passed += passed;
    totals.failed += failed;
    // The next boots test the result of this one.
    if (passed === 0) return;
  }
}
const due = machines
  .map(machine => ({ machine, image: imageOf(machine) }))
  .flatMap(booted => chains.map(chain => ({ booted, chain })));

/** Boots what is due, one after the other. */
async function bootDue() {
  for (let next = due.shift(); next !== undefined; next = due.shift()) await bootAll(next.booted, next.chain);
}
// Boots as many machines beside each other as there are processors, because each machine has one.
await Promise.all(Array.from({ length: availableParallelism() }, bootDue));

console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
