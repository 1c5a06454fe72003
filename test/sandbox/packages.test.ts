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
/** What Debian's maintainer scripts ask before they start anything. */
const policy = '/usr/sbin/policy-rc.d';
const hooks = ['daemon', 'qemu', 'network'].map(driver => `/etc/libvirt/hooks/${driver}`);
const machine = {
  name: 'web',
  uuid: '00000000-0000-4000-8000-00000000000a',
  nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0a' }],
};
let deb = '';
let rpm = '';
let before: Snapshot = [];

/** Runs a program for a minute at most. Throws with what it said when it fails. */
async function output(program: string, ...args: string[]): Promise<string> {
  return (await execa(program, args, { timeout: 60_000, all: true, env: { TMPDIR: '/tmp' } })).all;
}

/**
 * The node of a test machine need not be a package, small machines are told to leave documents out, and man-db's trigger
 * takes longer than all the rest.
 */
const dpkg = (...args: string[]) =>
  output(
    'dpkg',
    '--force-depends',
    '--force-confdef',
    '--path-include=/usr/share/*',
    '--no-triggers',
    ...args,
  );

function build(directory: string): Promise<string> {
  return output('sh', `${checkout}/install/package/build.sh`, directory);
}

/** The package as its next version: with another program and another virlan.ini. */
async function nextVersion(): Promise<string> {
  const tree = '/tmp/next';
  await output('dpkg-deb', '--raw-extract', deb, tree);
  const control = readFileSync(`${tree}/DEBIAN/control`, 'utf8');
  writeFileSync(`${tree}/DEBIAN/control`, control.replace(/^Version: .*/m, 'Version: 9.0.0-1'));
  appendFileSync(`${tree}/usr/lib/virlan/bin/hook.cjs`, '// next\n');
  appendFileSync(`${tree}${ini}`, '; A line that is new in this version.\n');
  await output('dpkg-deb', '--build', tree, '/tmp/next.deb');
  return '/tmp/next.deb';
}

async function isUp(): Promise<boolean> {
  const { stdout, stderr } = await virlan('status', '--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout).networks[0].up;
}

const dnsmasq = () => processes('dnsmasq').map(({ pid }) => pid);
const bridge = () => readFileSync('/sys/class/net/k8s-br0/ifindex', 'utf8');

/** All that has virlan in its name, but for what is the tests' own and what package managers remember. */
async function traces(): Promise<string[]> {
  const found = await output('find', '/etc', '/run', '/usr', '/var', '-xdev', '-name', '*virlan*');
  return found
    .split('\n')
    .filter(path => path !== '' && !/virlan-test|^\/var\/(lib\/dpkg|log|tmp)\//.test(path));
}

function assertDown(): void {
  assert(!existsSync('/sys/class/net/k8s-br0'));
  assert.deepEqual(dnsmasq(), []);
  assert.deepEqual(hooks.filter(existsSync), []);
}

packages.before(async () => {
  const built = await build('/tmp/packages');
  deb = /^.*\.deb$/m.exec(built)?.[0] ?? '';
  rpm = /^.*\.rpm$/m.exec(built)?.[0] ?? '';
  assert(deb !== '' && rpm !== '', built);
  // What becomes of libvirt's own network is tried with the installer.
  rmSync('/etc/libvirt/qemu/networks', { recursive: true });
  rmSync(policy, { force: true });
  await startLibvirtd();
  before = await snapshot();
});

packages('the same source gives the same packages', async () => {
  await build('/tmp/again');
  for (const name of readdirSync('/tmp/packages'))
    assert(readFileSync(`/tmp/packages/${name}`).equals(readFileSync(`/tmp/again/${name}`)), name);
  assert.equal(readdirSync('/tmp/again').length, 2);
});

packages('lintian finds no error', async () => {
  const { stdout } = await execa('lintian', [deb], { reject: false, timeout: 60_000 });
  const findings = stdout.split('\n').filter(line => /^[EW]:/.test(line));
  // The package is not uploaded to Debian, so there is nobody to ask for it.
  assert.deepEqual(
    findings.filter(line => !line.includes('initial-upload-closes-no-bugs')),
    [],
  );
});

packages('installed where nothing may be started, as in an image: hooks, and no network yet', async () => {
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  await dpkg('--install', deb);
  assert.deepEqual([existsSync('/etc/libvirt/hooks/qemu'), await isUp()], [true, false]);
  await dpkg('--purge', 'virlan');
  rmSync(policy);
});

packages('installed: network, hooks, manual pages, completions', async () => {
  await dpkg('--install', deb);
  assert(await isUp());
  assert.deepEqual(
    hooks.filter(path => !existsSync(path)),
    [],
  );
  for (const page of ['man8/virlan.8', 'man5/virlan.ini.5']) {
    // By its path, because man keeps formatted what it finds by name.
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

packages('upgraded: virlan.ini is the user’s, and the network goes on', async () => {
  writeFileSync(ini, '[network.k8s-br0]\nhost-allow = tcp/5000\n');
  mkdirSync('/etc/virlan/dnsmasq.d/k8s-br0');
  writeFileSync('/etc/virlan/dnsmasq.d/k8s-br0/own.conf', 'log-queries\n');
  assert.equal((await virlan('up')).exitCode, 0);
  assert.equal((await prepare(machine)).exitCode, 0);
  const was = { dnsmasq: dnsmasq(), bridge: bridge(), ini: readFileSync(ini, 'utf8') };
  await dpkg('--install', await nextVersion());
  assert.match(await output('dpkg-query', '--show', 'virlan'), /9\.0\.0-1$/);
  assert.match(readFileSync('/usr/lib/virlan/bin/hook.cjs', 'utf8'), /\/\/ next\n$/);
  assert.deepEqual({ dnsmasq: dnsmasq(), bridge: bridge(), ini: readFileSync(ini, 'utf8') }, was);
  assert.equal((await virlan('plan')).exitCode, 0);
});

packages(
  'removed: nothing works any more, and what the user wrote and machines were given is kept',
  async () => {
    await dpkg('--remove', 'virlan');
    assertDown();
    assert.deepEqual([ini, '/var/lib/virlan/ledger.jsonl', '/usr/lib/virlan'].map(existsSync), [
      true,
      true,
      false,
    ]);
  },
);

packages('purged: nothing is left', async () => {
  await dpkg('--purge', 'virlan');
  assert.deepEqual(await traces(), []);
  assert.deepEqual(await changesSince(before, /nwfilter\.leases/), []);
});

packages('the .rpm holds the same files, and its scripts do the same', async () => {
  const query = (...args: string[]) => output('rpm', '--query', '--package', ...args, rpm);
  assert.equal(await query('--configfiles'), ini);
  // Directories of the system belong to no .rpm.
  const inDeb = (await output('dpkg-deb', '--contents', deb))
    .split('\n')
    .map(line => line.replace(/^.* \./, ''));
  const expected = inDeb
    .filter(path => !path.endsWith('/') && !/\/(changelog|copyright)/.test(path))
    .map(path => path.replace('zsh/vendor-completions', 'zsh/site-functions'));
  const inRpm = (await query('--list')).split('\n');
  assert.deepEqual(
    expected.filter(path => !inRpm.includes(path)),
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

packages.run();
