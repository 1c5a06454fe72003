// virlan-standalone, the package with a Node.js of its own: build, and exchange with virlan.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readSync, rmSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from '../sandbox/hook-calls.ts';
import { startLibvirtd } from '../sandbox/host.ts';
import {
  assertDown,
  assertSameFiles,
  bridgeIndex,
  buildPackages,
  dnsmasqPids,
  dpkg,
  hooks,
  isUp,
  lint,
  machine,
  output,
  remainingPaths,
  rpmWithoutDependencies,
} from '../sandbox/packaging.ts';
import { packagePath } from './package-path.ts';

const standalone = suite('standalone');

const deb = packagePath(/^virlan_.*\.deb$/);
const rpm = packagePath(/^virlan-[\d.-]+\.noarch\.rpm$/);
const standaloneDeb = packagePath(/^virlan-standalone_.*_amd64\.deb$/);
const standaloneRpm = packagePath(/^virlan-standalone-.*\.x86_64\.rpm$/);
const armDeb = packagePath(/^virlan-standalone_.*_arm64\.deb$/);
const armRpm = packagePath(/^virlan-standalone-.*\.aarch64\.rpm$/);

/** The number of a CPU in the header of an ELF file: EM_X86_64, EM_AARCH64. */
const elfMachines = { x64: 62, arm64: 183 };

/** Returns the number of the CPU that a program is for. */
function elfMachineOf(path: string): number {
  const file = openSync(path, 'r');
  const header = Buffer.alloc(20);
  readSync(file, header, 0, header.length, 0);
  closeSync(file);
  assert.equal(header.toString('latin1', 0, 4), '\x7fELF');
  return header.readUInt16LE(18);
}

standalone.before(async () => {
  // install.test.ts covers libvirt's default network.
  rmSync('/etc/libvirt/qemu/networks', { recursive: true });
  rmSync('/usr/sbin/policy-rc.d', { force: true });
  await startLibvirtd();
});

standalone('two builds of one source are identical', async () => {
  assertSameFiles([standaloneDeb, standaloneRpm], await buildPackages('/tmp/again', 'virlan-standalone'));
});

standalone('lintian and rpmlint find nothing, for either CPU', () =>
  lint([standaloneDeb, standaloneRpm, armDeb, armRpm]),
);

standalone('the packages for arm64 have its Node.js, and nothing else differs', async () => {
  const unpacked = { x64: '/tmp/x64', arm64: '/tmp/arm64' };
  await output('dpkg-deb', '--extract', standaloneDeb, unpacked.x64);
  await output('dpkg-deb', '--extract', armDeb, unpacked.arm64);
  for (const cpu of ['x64', 'arm64'] as const)
    assert.equal(elfMachineOf(`${unpacked[cpu]}/usr/lib/virlan-runtime/node`), elfMachines[cpu]);
  const { stdout } = await execa('diff', ['--recursive', '--brief', unpacked.x64, unpacked.arm64], {
    reject: false,
  });
  assert.equal(
    stdout,
    'Files /tmp/x64/usr/lib/virlan-runtime/node and /tmp/arm64/usr/lib/virlan-runtime/node differ',
  );
  assert.equal(await output('dpkg-deb', '--field', armDeb, 'Architecture'), 'arm64');
  assert.equal(await output('rpm', '--query', '--package', '--queryformat', '%{ARCH}', armRpm), 'aarch64');
});

standalone('virlan-standalone takes the place of virlan, and back: the network stays up', async () => {
  await dpkg('--install', deb);
  assert.equal((await prepare(machine)).exitCode, 0);
  const expected = { dnsmasq: dnsmasqPids(), bridge: bridgeIndex() };
  await dpkg('--install', standaloneDeb);
  assert.deepEqual({ dnsmasq: dnsmasqPids(), bridge: bridgeIndex() }, expected);
  // Only the database of dpkg still has an entry of the replaced package.
  await dpkg('--purge', 'virlan');
  assert.deepEqual([await isUp(), existsSync('/var/lib/virlan/ledger.jsonl')], [true, true]);
  await dpkg('--install', deb);
  assert.deepEqual({ dnsmasq: dnsmasqPids(), bridge: bridgeIndex() }, expected);
  await dpkg('--purge', 'virlan-standalone');
  assert(await isUp());
  await dpkg('--purge', 'virlan');
  assert.deepEqual(await remainingPaths(), []);
});

standalone('virlan-standalone needs no Node.js of the host', async () => {
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

standalone('the .rpm of virlan-standalone takes the place of that of virlan', async () => {
  await rpmWithoutDependencies('--install', rpm);
  // dnf does the same: it installs the new package, and erases the old one after that.
  await rpmWithoutDependencies('--install', '--replacefiles', standaloneRpm);
  await rpmWithoutDependencies('--erase', 'virlan');
  assert.deepEqual([await isUp(), hooks.every(existsSync)], [true, true]);
  await rpmWithoutDependencies('--erase', 'virlan-standalone');
  assertDown();
});

standalone.run();
