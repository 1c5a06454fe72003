// The .deb and .rpm packages: build, installation, upgrade, removal, purge.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import { checkout, startLibvirtd, virlan } from './host.ts';
import { changesSince, processes, type Snapshot, snapshot } from './snapshot.ts';

const packages = suite('packages');

const ini = '/etc/virlan/virlan.ini';
/** Debian's maintainer scripts run this before they start a service. */
const policy = '/usr/sbin/policy-rc.d';
const hooks = ['daemon', 'qemu', 'network'].map(driver => `/etc/libvirt/hooks/${driver}`);
const machine = {
  name: 'web',
  uuid: '00000000-0000-4000-8000-00000000000a',
  nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0a' }],
};
let deb = '';
let rpm = '';
let standaloneDeb = '';
let standaloneRpm = '';
let before: Snapshot = [];

/**
 * Runs a program and returns its output. Throws with the output if it fails or takes longer than a minute.
 */
async function output(program: string, ...args: string[]): Promise<string> {
  return (await execa(program, args, { timeout: 60_000, all: true, env: { TMPDIR: '/tmp' } })).all;
}

/**
 * Runs dpkg without dependencies (node need not be a package here), with documents (containers exclude them),
 * and without triggers (man-db's takes most of the time).
 */
function dpkg(...args: string[]): Promise<string> {
  return output(
    'dpkg',
    '--force-depends',
    '--force-confdef',
    '--path-include=/usr/share/*',
    '--no-triggers',
    ...args,
  );
}

/** Builds both packages in both formats. The one with Node.js takes a minute. */
async function build(directory: string): Promise<string> {
  const script = `${checkout}/install/package/build.sh`;
  const args = [script, '--directory', directory, 'virlan', 'virlan-standalone'];
  return (await execa('sh', args, { timeout: 600_000, env: { TMPDIR: '/tmp' } })).stdout;
}

/** Builds the package of a next version, with a changed program and virlan.ini, and returns its path. */
async function buildNextVersion(): Promise<string> {
  const tree = '/tmp/next';
  await output('dpkg-deb', '--raw-extract', deb, tree);
  const control = readFileSync(`${tree}/DEBIAN/control`, 'utf8');
  writeFileSync(`${tree}/DEBIAN/control`, control.replace(/^Version: .*/m, 'Version: 9.0.0-1'));
  appendFileSync(`${tree}/usr/lib/virlan-package/bin/hook.cjs`, '// next\n');
  appendFileSync(`${tree}${ini}`, '; A line that is new in this version.\n');
  await output('dpkg-deb', '--build', tree, '/tmp/next.deb');
  return '/tmp/next.deb';
}

async function isUp(): Promise<boolean> {
  const { stdout, stderr } = await virlan('status', '--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout).networks[0].up;
}

/** Returns a checksum of each file of the program that runs. */
function programFiles(): Promise<string> {
  return output('sh', '-c', 'cd -P /usr/lib/virlan && find . -type f -exec sha256sum {} + | sort');
}

function dnsmasqPids(): number[] {
  return processes('dnsmasq').map(({ pid }) => pid);
}

function bridgeIndex(): string {
  return readFileSync('/sys/class/net/k8s-br0/ifindex', 'utf8');
}

/** Returns the paths with virlan in their name, without those of tests, logs and the package database. */
async function remainingPaths(): Promise<string[]> {
  const found = await output('find', '/etc', '/run', '/usr', '/var', '-xdev', '-name', '*virlan*');
  return found
    .split('\n')
    .filter(path => path !== '' && !/virlan-test|^\/var\/(lib\/dpkg|log|tmp)\//.test(path));
}

function assertDown(): void {
  assert(!existsSync('/sys/class/net/k8s-br0'));
  assert.deepEqual(dnsmasqPids(), []);
  assert.deepEqual(hooks.filter(existsSync), []);
}

packages.before(async () => {
  const built = (await build('/tmp/packages')).split('\n');
  [deb = '', rpm = '', standaloneDeb = '', standaloneRpm = ''] = built;
  assert.equal(built.length, 4);
  // install.test.ts covers libvirt's default network.
  rmSync('/etc/libvirt/qemu/networks', { recursive: true });
  rmSync(policy, { force: true });
  await startLibvirtd();
  before = await snapshot();
});

packages('two builds of one source are identical', async () => {
  await build('/tmp/again');
  for (const name of readdirSync('/tmp/packages'))
    assert(readFileSync(`/tmp/packages/${name}`).equals(readFileSync(`/tmp/again/${name}`)), name);
  assert.equal(readdirSync('/tmp/again').length, 4);
});

packages('lintian and rpmlint find nothing', async () => {
  const lint = await execa('sh', [`${checkout}/install/package/lint.sh`, deb, rpm], {
    reject: false,
    all: true,
    timeout: 300_000,
  });
  assert.equal(lint.exitCode, 0, lint.all);
});

packages(
  'installed where policy-rc.d forbids starting services, as in an image: hooks, but no network',
  async () => {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    await dpkg('--install', deb);
    assert.deepEqual([existsSync('/etc/libvirt/hooks/qemu'), await isUp()], [true, false]);
    await dpkg('--purge', 'virlan');
    rmSync(policy);
  },
);

packages('a package that could not be configured can be removed', async () => {
  mkdirSync('/etc/virlan');
  writeFileSync(ini, '[network.k8s-br0]\nno-such-key = 1\n');
  await assert.rejects(dpkg('--install', deb), /no-such-key/);
  assert(!existsSync('/usr/lib/virlan'));
  await dpkg('--purge', 'virlan');
  assert.deepEqual(await remainingPaths(), []);
});

packages('installed: network, hooks, manual pages, completions', async () => {
  await dpkg('--install', deb);
  assert(await isUp());
  assert.deepEqual(
    hooks.filter(path => !existsSync(path)),
    [],
  );
  for (const page of ['man8/virlan.8', 'man5/virlan.ini.5']) {
    // By path, because man caches pages that it finds by name.
    const { stdout, stderr } = await execa('man', ['--warnings', `/usr/share/man/${page}.gz`], {
      timeout: 60_000,
    });
    assert.deepEqual([stdout.includes('SEE ALSO'), stderr], [true, '']);
  }
  for (const path of [
    'bash-completion/completions/virlan',
    'zsh/vendor-completions/_virlan',
    'fish/vendor_completions.d/virlan.fish',
    'doc/virlan/changelog.gz',
    'doc/virlan/copyright',
  ])
    assert(existsSync(`/usr/share/${path}`), path);
  assert.equal((await output('dpkg', '--verify', 'virlan')).trim(), '');
});

packages("upgraded: the user's virlan.ini is kept, and the network stays up", async () => {
  writeFileSync(ini, '[network.k8s-br0]\nhost-allow = tcp/5000\n');
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0');
  writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/own.conf', 'log-queries\n');
  assert.equal((await virlan('up')).exitCode, 0);
  assert.equal((await prepare(machine)).exitCode, 0);
  const expected = { dnsmasq: dnsmasqPids(), bridge: bridgeIndex(), ini: readFileSync(ini, 'utf8') };
  const program = await programFiles();
  const next = await buildNextVersion();
  await dpkg('--unpack', next);
  // Between unpacking and configuration, and while files are replaced one by one, the version before runs whole.
  assert.equal(await programFiles(), program);
  const { exitCode, stderr } = await prepare({ name: 'between', nics: machine.nics });
  assert.deepEqual([exitCode, stderr], [0, '']);
  await dpkg('--configure', 'virlan');
  assert.match(await output('dpkg-query', '--show', 'virlan'), /9\.0\.0-1$/);
  assert.match(readFileSync('/usr/lib/virlan/bin/hook.cjs', 'utf8'), /\/\/ next\n$/);
  assert.deepEqual(
    { dnsmasq: dnsmasqPids(), bridge: bridgeIndex(), ini: readFileSync(ini, 'utf8') },
    expected,
  );
  assert.equal((await virlan('plan')).exitCode, 0);
});

packages('a failed upgrade keeps the version before, and the next attempt completes it', async () => {
  const program = await programFiles();
  const valid = readFileSync(ini, 'utf8');
  writeFileSync(ini, '[network.k8s-br0]\nno-such-key = 1\n');
  await assert.rejects(dpkg('--install', deb), /no-such-key/);
  assert.equal(await programFiles(), program);
  writeFileSync(ini, valid);
  await dpkg('--configure', 'virlan');
  assert.notEqual(await programFiles(), program);
  assert.equal(readdirSync('/usr/lib/virlan-versions').length, 2);
});

packages('removed: no network and no hooks; configuration and ledger are kept', async () => {
  await dpkg('--remove', 'virlan');
  assertDown();
  assert.deepEqual([ini, '/var/lib/virlan/ledger.jsonl'].map(existsSync), [true, true]);
  assert.deepEqual(
    readdirSync('/usr/lib').filter(name => name.startsWith('virlan')),
    [],
  );
});

packages('purged: no file is left', async () => {
  await dpkg('--purge', 'virlan');
  assert.deepEqual(await remainingPaths(), []);
  assert.deepEqual(await changesSince(before, /nwfilter\.leases/), []);
});

packages('the .rpm contains the same files, and its scripts do the same', async () => {
  const query = (...args: string[]) => output('rpm', '--query', '--package', ...args, rpm);
  assert.equal(await query('--configfiles'), `/etc/logrotate.d/virlan\n${ini}`);
  // Directories of the system belong to no .rpm.
  const inDeb = (await output('dpkg-deb', '--contents', deb))
    .split('\n')
    .map(line => line.replace(/^.* \./, ''));
  const expectedPaths = inDeb
    .filter(path => !path.endsWith('/') && !/\/(changelog|copyright)/.test(path))
    .map(path => path.replace('zsh/vendor-completions', 'zsh/site-functions'));
  const inRpm = (await query('--list')).split('\n');
  assert.deepEqual(
    expectedPaths.filter(path => !inRpm.includes(path)),
    [],
  );
  const manage = (...args: string[]) => output('rpm', '--dbpath', '/tmp/rpmdb', '--nodeps', ...args);
  await manage('--install', rpm);
  assert(await isUp());
  await manage('--upgrade', '--force', rpm);
  assert(await isUp());
  await manage('--erase', 'virlan');
  assertDown();
});

packages('an unknown CPU is refused', async () => {
  const script = `${checkout}/install/package/build.sh`;
  const refused = await execa(
    'sh',
    [script, '--directory', '/tmp/none', '--cpu', 'pdp11', 'virlan-standalone'],
    { reject: false },
  );
  assert.deepEqual(
    [refused.exitCode, refused.stderr],
    [2, 'package: there is no Node.js for CPU pdp11: write x64 or arm64'],
  );
});

packages('virlan-standalone takes the place of virlan, and back: the network stays up', async () => {
  await dpkg('--install', deb);
  assert.equal((await prepare(machine)).exitCode, 0);
  const expected = { dnsmasq: dnsmasqPids(), bridge: bridgeIndex() };
  await dpkg('--install', standaloneDeb);
  assert.deepEqual({ dnsmasq: dnsmasqPids(), bridge: bridgeIndex() }, expected);
  // What is left of the replaced package is its entry in the database.
  await dpkg('--purge', 'virlan');
  assert.deepEqual([await isUp(), existsSync('/var/lib/virlan/ledger.jsonl')], [true, true]);
  await dpkg('--install', deb);
  assert.deepEqual({ dnsmasq: dnsmasqPids(), bridge: bridgeIndex() }, expected);
  await dpkg('--purge', 'virlan-standalone');
  assert(await isUp());
  await dpkg('--purge', 'virlan');
  assert.deepEqual(await remainingPaths(), []);
});

packages('virlan-standalone needs no Node.js of the host', async () => {
  // Hidden below an empty file, as the checkout and this process have the host's Node.js elsewhere too.
  await output('mount', '--bind', '/dev/null', '/usr/bin/node');
  try {
    await dpkg('--install', standaloneDeb);
    assert(await isUp());
    assert.equal((await prepare(machine)).exitCode, 0);
    assert.match(await output('/usr/lib/virlan-runtime/node', '--version'), /^v22\./);
  } finally {
    await dpkg('--purge', 'virlan-standalone');
    await output('umount', '/usr/bin/node');
  }
});

packages('the .rpm of virlan-standalone takes the place of that of virlan', async () => {
  const manage = (...args: string[]) => output('rpm', '--dbpath', '/tmp/rpmdb', '--nodeps', ...args);
  await manage('--install', rpm);
  // As dnf does it: the new one is installed, then the old one is erased.
  await manage('--install', '--replacefiles', standaloneRpm);
  await manage('--erase', 'virlan');
  assert.deepEqual([await isUp(), hooks.every(existsSync)], [true, true]);
  await manage('--erase', 'virlan-standalone');
  assertDown();
});

packages.run();
