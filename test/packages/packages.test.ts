// The .deb and .rpm of virlan and of the page for Cockpit: build, installation, upgrade, removal, purge.
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
import { prepare } from '../sandbox/hook-calls.ts';
import { checkout, startLibvirtd, virlan } from '../sandbox/host.ts';
import {
  assertDown,
  assertSameFiles,
  bridgeIndex,
  buildPackages,
  dnsmasqPids,
  dpkg,
  hooks,
  ini,
  isUp,
  lint,
  machine,
  output,
  remainingPaths,
  rpmWithoutDependencies,
} from '../sandbox/packaging.ts';
import { changesSince, type Snapshot, snapshot } from '../sandbox/snapshot.ts';

const packages = suite('packages');

/** Debian's maintainer scripts run this before they start a service. */
const policy = '/usr/sbin/policy-rc.d';
const page = '/usr/share/cockpit/virlan';
let built: string[] = [];
let deb = '';
let rpm = '';
let pageDeb = '';
let pageRpm = '';
let before: Snapshot = [];

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

/** Returns a checksum of each file of the program that runs. */
function programFiles(): Promise<string> {
  return output('sh', '-c', 'cd -P /usr/lib/virlan && find . -type f -exec sha256sum {} + | sort');
}

packages.before(async () => {
  built = await buildPackages('/tmp/packages', 'virlan', 'cockpit-virlan');
  [deb = '', rpm = '', pageDeb = '', pageRpm = ''] = built;
  assert.equal(built.length, 4);
  // install.test.ts covers libvirt's default network.
  rmSync('/etc/libvirt/qemu/networks', { recursive: true });
  rmSync(policy, { force: true });
  await startLibvirtd();
  before = await snapshot();
});

packages('two builds of one source are identical', async () => {
  assertSameFiles(built, await buildPackages('/tmp/again', 'virlan', 'cockpit-virlan'));
});

packages('lintian and rpmlint find nothing', () => lint(built));

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
  assert(!existsSync('/usr/lib/virlan/cockpit'), 'the page is a package of its own');
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
  // Shells may be absent: no .rpm but this one owns the directories of their completions then.
  for (const path of ['fish/vendor_completions.d', 'zsh/site-functions'])
    assert(inRpm.includes(`/usr/share/${path}`), path);
  await rpmWithoutDependencies('--install', rpm);
  assert(await isUp());
  await rpmWithoutDependencies('--upgrade', '--force', rpm);
  assert(await isUp());
  await rpmWithoutDependencies('--erase', 'virlan');
  assertDown();
});

packages(
  'the .rpm sets up the host where rpm runs its scripts in a network namespace of their own',
  async () => {
    // Does what the plugin unshare of rpm 4.20 does.
    const apart = (...args: string[]) =>
      output('unshare', '--net', 'rpm', '--dbpath', '/tmp/rpmdb', '--nodeps', ...args);
    await apart('--install', rpm);
    assert(await isUp());
    const expected = { dnsmasq: dnsmasqPids(), bridge: bridgeIndex() };
    await apart('--upgrade', '--force', rpm);
    assert.deepEqual({ dnsmasq: dnsmasqPids(), bridge: bridgeIndex() }, expected);
    await apart('--erase', 'virlan');
    assertDown();
  },
);

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

packages('cockpit-virlan is the page, and is gone without a trace', async () => {
  const inPage = ['index.css', 'index.html', 'index.js', 'licences', 'manifest.json'];
  const files = (directory: string) => readdirSync(directory).sort();
  // The .rpm of virlan, which was erased before, keeps its data.
  const existing = await remainingPaths();
  await dpkg('--install', pageDeb);
  assert.deepEqual(files(page), inPage);
  assert.deepEqual(
    readFileSync(`${page}/index.js`),
    readFileSync(`${checkout}/contrib/cockpit/dist/index.js`),
  );
  assert.equal((await output('dpkg', '--verify', 'cockpit-virlan')).trim(), '');
  await dpkg('--purge', 'cockpit-virlan');
  assert.deepEqual(await remainingPaths(), existing);
  await rpmWithoutDependencies('--install', pageRpm);
  assert.deepEqual(files(page), inPage);
  await rpmWithoutDependencies('--erase', 'cockpit-virlan');
  assert.deepEqual(await remainingPaths(), existing);
});

packages('cockpit-virlan needs a virlan that is as new, and a Cockpit that knows its API', async () => {
  const version = JSON.parse(readFileSync(`${checkout}/package.json`, 'utf8')).version;
  assert.equal(
    await output('dpkg-deb', '--field', pageDeb, 'Depends'),
    `cockpit-bridge (>= 287), virlan (>= ${version}-1)`,
  );
  const required = await output('rpm', '--query', '--package', '--requires', pageRpm);
  assert.deepEqual(
    required.split('\n').filter(line => !line.startsWith('rpmlib(')),
    ['cockpit-bridge >= 287', `virlan >= ${version}`],
  );
});

packages.run();
