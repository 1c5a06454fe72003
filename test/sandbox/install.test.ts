// install.sh and uninstall.sh: what they install, keep, refuse and remove.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { readLedger } from '../../src/identity/ledger-files.ts';
import {
  checkout,
  configure,
  define,
  domainXml,
  host,
  type Outcome,
  serve,
  startLibvirtd,
  startMachine,
  stopLibvirtd,
  virlan,
  virsh,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { resetHost } from './reset-host.ts';
import { changesSince, difference, type Snapshot, snapshot } from './snapshot.ts';

const install = suite('install');
const hooks = '/etc/libvirt/hooks';
const config = '[network.k8s-br0]\nstp = no\n';

/** Runs a script of install/ and returns its outcome. */
async function script(name: string, ...args: string[]): Promise<Outcome> {
  const run = await execa('sh', [`${checkout}/install/${name}`, ...args], { reject: false, timeout: 60_000 });
  return { exitCode: run.exitCode ?? -1, stdout: run.stdout, stderr: run.stderr };
}

/** Runs install.sh, asserts that it succeeds without a warning, and returns its output. */
async function runInstall(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await script('install.sh', '--no-packages', ...args);
  assert.equal(`${stderr}${exitCode}`, '0');
  return stdout;
}

/** Runs uninstall.sh, asserts that it succeeds without a warning, and returns its output. */
async function runUninstall(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await script('uninstall.sh', ...args);
  assert.equal(`${stderr}${exitCode}`, '0');
  return stdout;
}

/** Returns a line for each file of virlan, also in directories that snapshot() does not cover. */
async function virlanFiles(): Promise<Snapshot> {
  const program = ['', '.virlan-new', '.virlan-old', '-versions'].map(end => `/usr/lib/virlan${end}`);
  const others = ['/etc/virlan', '/etc/systemd', '/etc/libvirt', '/usr/lib/systemd/system', '/usr/sbin'];
  const data = ['/var/lib/virlan', '/var/lib/dnsmasq', '/var/cache/virlan', '/var/log/virlan.log', '/run'];
  const roots = [...program, ...others, ...data];
  const { stdout } = await execa('find', [...roots, '-printf', '%p %y %m %l\n'], { reject: false });
  return stdout.split('\n').filter(line => /^[^ ]*(virlan|dnsmasq\/|libvirt\/hooks)/.test(line));
}

async function wholeHost(): Promise<{ state: Snapshot; files: Snapshot }> {
  return { state: await snapshot(), files: await virlanFiles() };
}

install.after.each(async () => {
  await script('uninstall.sh');
  await resetHost();
});

install(
  'without libvirtd: install establishes the network, uninstall leaves no trace; each works twice',
  async () => {
    const before = await wholeHost();
    assert.match(
      await runInstall(),
      /^k8s-br0 is up:[\s\S]*Next: systemd does not run here, so keep "virlan watch"/,
    );
    assert.equal((await virlan('plan')).exitCode, 0);
    const established = await snapshot();
    await runInstall();
    const expected = /\/usr\/lib\/virlan\/|\/etc\/libvirt\/hooks\/|before.json/;
    assert.deepEqual(await changesSince(established, expected), []);
    // The first probe creates the directory of network namespaces.
    await virlan('doctor');
    assert(existsSync('/run/netns'));

    for (let times = 0; times < 2; times += 1) {
      assert.match(await runUninstall(), /virlan is removed/);
      assert.deepEqual(difference(before.state, await snapshot()), []);
      assert.deepEqual(difference(before.files, await virlanFiles()), []);
      assert(!existsSync('/run/netns'));
    }
  },
);

install('uninstall works with a partly removed network and an invalid virlan.ini', async () => {
  const before = await wholeHost();
  await runInstall();
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  await execa('nft', ['flush', 'ruleset']);
  rmSync('/run/virlan', { recursive: true });
  await configure('[network.k8s-br0]\nnonsense\n');
  const { exitCode, stderr } = await script('uninstall.sh');
  assert.equal(exitCode, 0);
  assert.match(stderr, /^virlan: warning: .*virlan.ini:2: /);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await virlanFiles()), []);
});

install('--keep-data keeps the ledger, the reservations and the configuration', async () => {
  await runInstall();
  writeFileSync('/var/lib/virlan/ledger.jsonl', '');
  await runUninstall('--keep-data');
  for (const path of [
    '/var/lib/virlan/ledger.jsonl',
    '/etc/virlan/virlan.ini',
    '/var/lib/dnsmasq/k8s-br0/hostsfile',
  ]) {
    assert(existsSync(path), path);
  }
  for (const path of [
    '/usr/lib/virlan',
    '/usr/sbin/virlan',
    `${hooks}/qemu`,
    '/sys/class/net/k8s-br0',
    '/run/virlan',
    '/run/dnsmasq',
  ])
    assert(!existsSync(path), path);
});

install('a line of the hostsfile written by hand is kept by uninstall', async () => {
  const line = '52:54:00:00:00:99,192.168.100.99,mine\n';
  mkdirSync('/var/lib/dnsmasq/k8s-br0', { recursive: true });
  writeFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', line);
  await configure(
    `${config}[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n`,
  );
  await runInstall();
  assert.match(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /printer/);
  await runUninstall();
  assert.equal(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), line);
});

const own = '#!/bin/sh\n# my own hook\n';

install("beside a hook of the user's own, which is not changed", async () => {
  writeFileSync(`${hooks}/qemu`, own, { mode: 0o755 });
  mkdirSync(`${hooks}/qemu.d/web/prepare`, { recursive: true });
  await runInstall('--no-start');
  await runInstall('--no-start');
  assert.equal(readFileSync(`${hooks}/qemu`, 'utf8'), own);
  const { stdout } = await execa('find', [hooks, '-type', 'f', '-perm', '755']);
  assert.deepEqual(
    stdout.split('\n').sort(),
    ['daemon', 'network', 'qemu', 'qemu.d/50-virlan'].map(path => `${hooks}/${path}`),
  );
  await runUninstall();
  const { stdout: left } = await execa('find', [hooks, '-type', 'f']);
  assert.equal(left, `${hooks}/qemu`);
  rmSync(hooks, { recursive: true });
  mkdirSync(hooks);
});

install("a libvirt that runs only one hook: refused until the user's own hook calls virlan's", async () => {
  writeFileSync(`${hooks}/qemu`, own, { mode: 0o755 });
  stubProgram('libvirtd', 'echo "libvirtd (libvirt) 6.4.0"');
  const before = await wholeHost();
  const { exitCode, stderr } = await script('install.sh', '--no-packages', '--no-start');
  assert.equal(exitCode, 1);
  const [, line = ''] = /runs only one: add the line {2}(.*) {2}to it/.exec(stderr) ?? [];
  assert.equal(stderr.trim().split('\n').length, 1);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await virlanFiles()), []);

  writeFileSync(`${hooks}/qemu`, `${own}${line}\necho own\n`);
  // Without virlan the line has no effect; with virlan its hook runs and succeeds.
  assert.equal((await execa(`${hooks}/qemu`, ['web', 'started', 'begin', '-'])).stdout, 'own');
  await runInstall('--no-start');
  assert.equal((await execa(`${hooks}/qemu`, ['web', 'started', 'begin', '-'])).stdout, 'own');
  assert(!existsSync(`${hooks}/qemu.d`));
  rmSync(`${hooks}/qemu`);
});

const keys: [before: string, after: string][] = [
  ['', '[network.k8s-br0]\ndefault-network = keep\n'],
  ['; mine\n', '; mine\n[network.k8s-br0]\ndefault-network = keep\n'],
  // Written by an editor that begins a file with a byte order mark.
  ['\ufeff[ network.a ]\nstp = no\n', '[ network.a ]\nstp = no\ndefault-network = keep\n'],
  [
    '[network.a]\nstp = no\n\n[network.b]  ; second\nsubnet = 10.0.0.0/24\n',
    '[network.a]\nstp = no\ndefault-network = keep\n\n[network.b]  ; second\nsubnet = 10.0.0.0/24\ndefault-network = keep\n',
  ],
  [
    '[network.a]\ndefault-network=auto ; why\nstp = no\n[host.h]\nnetwork = a\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n',
    '[network.a]\ndefault-network = keep\nstp = no\n[host.h]\nnetwork = a\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n',
  ],
];

install('--default-network writes the key and keeps the rest of the file', async () => {
  for (const [before, after] of keys) {
    await configure(before);
    await runInstall('--no-start', '--default-network=keep');
    assert.equal(readFileSync('/etc/virlan/virlan.ini', 'utf8'), after);
    assert.equal((await virlan('plan')).exitCode, 3);
  }
  const outcome = await script('install.sh', '--default-network=off');
  assert.deepEqual([outcome.exitCode, outcome.stdout], [2, '']);
});

install('--dry-run prints what would be done and changes nothing', async () => {
  const before = await wholeHost();
  const output = await runInstall('--dry-run');
  assert.match(output, /^would install \/usr\/lib\/virlan [\s\S]*\+ bridge k8s-br0 [\s\S]*none made/);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await virlanFiles()), []);
});

install(
  'logrotate rotates the log, the next line goes to a new file, and uninstall removes both',
  async () => {
    const rotated = '/etc/logrotate.d/virlan';
    await runInstall('--no-start');
    await virlan('up');
    assert(readFileSync('/var/log/virlan.log', 'utf8').includes('network-established'));
    await execa('logrotate', ['--force', '--state', '/tmp/logrotate', rotated]);
    assert.equal(existsSync('/var/log/virlan.log'), false);
    assert(readFileSync('/var/log/virlan.log.1', 'utf8').includes('network-established'));
    await virlan('down');
    assert(readFileSync('/var/log/virlan.log', 'utf8').includes('network-taken-down'));
    await runUninstall();
    assert.deepEqual([rotated, '/var/log/virlan.log', '/var/log/virlan.log.1'].filter(existsSync), []);
  },
);

install('--destdir only copies files', async () => {
  const before = await wholeHost();
  const { exitCode } = await script('install.sh', '--destdir', '/tmp/root');
  assert.equal(exitCode, 0);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  for (const path of [
    'usr/lib/virlan-package/setup',
    'usr/lib/virlan-package/hooks/qemu',
    'usr/sbin/virlan',
    'etc/virlan/virlan.ini',
  ])
    assert(existsSync(`/tmp/root/${path}`), path);
  rmSync('/tmp/root', { recursive: true });
});

/** Mounts a full file system over a directory, or makes the directory read-only. */
async function cover(
  directory: string,
  how: 'full' | 'read-only',
): Promise<{ stop: () => Promise<unknown> }> {
  if (how === 'full') {
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=4k,mode=755', 'none', directory]);
    writeFileSync(`${directory}/filling`, Buffer.alloc(4096));
  } else {
    await execa('mount', ['--bind', directory, directory]);
    await execa('mount', ['-o', 'remount,bind,ro', directory]);
  }
  return { stop: () => execa('umount', ['--lazy', directory]) };
}

/** Hides a file until stop() is called. */
function hide(path: string): { stop: () => Promise<unknown> } {
  renameSync(path, `${path}.hidden`);
  return { stop: async () => renameSync(`${path}.hidden`, path) };
}

interface Fault {
  title: string;
  message: RegExp;
  /** Causes the fault. Returns an object that removes it with stop() if resetHost() does not. */
  cause(): unknown;
  user?: string;
}

const faults: Fault[] = [
  { title: 'not root', message: /needs root: run it with sudo/, user: 'nobody', cause: () => {} },
  {
    title: 'no Node',
    message: /packages are missing: apt-get install nodejs/,
    cause: () => hide('/usr/bin/node'),
  },
  {
    title: 'a Node that is too old',
    message: /node is v18.20.4, too old: install Node.js 20.19 or newer/,
    cause: () => {
      const hidden = hide('/usr/bin/node');
      writeFileSync(
        '/usr/bin/node',
        '#!/bin/sh\n[ "$1" != --version ] || echo v18.20.4\n[ "$1" = --version ]\n',
      );
      chmodSync('/usr/bin/node', 0o755);
      return hidden;
    },
  },
  {
    title: 'no libvirt',
    message: /packages are missing: apt-get install libvirt-daemon-system/,
    cause: () => hide('/usr/sbin/libvirtd'),
  },
  {
    title: 'no dnsmasq',
    message: /packages are missing: apt-get install dnsmasq-base/,
    cause: () => hide('/usr/sbin/dnsmasq'),
  },
  {
    title: 'a read-only /etc',
    message: /\/etc.*Read-only file system: see to that/,
    cause: () => cover('/etc', 'read-only'),
  },
  {
    title: 'a read-only /usr',
    message: /\/usr.*Read-only file system: see to that/,
    cause: () => cover('/usr', 'read-only'),
  },
  {
    title: 'a full disk while files are copied',
    message: /No space left on device: see to that/,
    cause: () => cover('/usr/lib/systemd/system', 'full'),
  },
  {
    title: 'a full disk, while hooks are placed',
    message: /No space left on device: see to that/,
    cause: () => cover(hooks, 'full'),
  },
  {
    title: 'a full disk, while the network is established',
    message:
      /dnsmasq\/k8s-br0\/[\w.]+ cannot be written: .*no space left on device.*; the host is as it was$/,
    cause: () => {
      mkdirSync('/var/lib/dnsmasq/k8s-br0', { recursive: true });
      return cover('/var/lib/dnsmasq/k8s-br0', 'full');
    },
  },
  {
    title: "a subnet that overlaps the host's LAN",
    message:
      /192.168.100.0\/24 overlaps 192.168.0.0\/16 of wan: choose another subnet .*; nothing was installed$/,
    cause: async () => {
      await execa('ip', ['link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'peer']);
      for (const link of ['wan', 'peer'])
        await execa('ip', ['link', 'set', link, 'up', 'addrgenmode', 'none']);
      await execa('ip', ['address', 'add', '192.168.3.4/16', 'dev', 'wan']);
    },
  },
  {
    title: "port 53 of the bridge's address, taken",
    message:
      /192.168.100.1: Address already in use: stop what listens there, "ss -lntup" shows it; the host is as it was$/,
    cause: () => serve(host, { proto: 'tcp', port: 53 }),
  },
  {
    title: 'a broken virlan.ini',
    message: /virlan.ini:2: .*; nothing was installed$/,
    cause: () => configure('[network.k8s-br0]\nnonsense\n'),
  },
  {
    title: "a file of the user's own in the place of the hook",
    message: /50-virlan is a file of your own: rename it/,
    cause: () => {
      mkdirSync(`${hooks}/qemu.d`);
      for (const path of ['qemu', 'qemu.d/50-virlan'])
        writeFileSync(`${hooks}/${path}`, own, { mode: 0o755 });
    },
  },
];

for (const { title, message, cause, user } of faults) {
  install(`a failed install prints one line and changes nothing: ${title}`, async () => {
    const fault = (await cause()) as { stop?: () => unknown } | undefined;
    const before = await wholeHost();
    const command = ['sh', `${checkout}/install/install.sh`, '--no-packages'];
    const [program = '', ...args] = user === undefined ? command : ['setpriv', `--reuid=${user}`, ...command];
    const { exitCode, stdout, stderr } = await execa(program, args, { reject: false });
    const after = await wholeHost();
    await fault?.stop?.();
    rmSync(`${hooks}/qemu`, { force: true });
    rmSync(`${hooks}/qemu.d`, { recursive: true, force: true });
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.deepEqual([exitCode, stderr.trim().split('\n').length], [1, 1], stderr);
    assert.deepEqual(difference(before.state, after.state), []);
    assert.deepEqual(difference(before.files, after.files), []);
  });
}

install('a failed upgrade keeps the installed virlan and its network', async () => {
  await configure(config);
  await runInstall();
  writeFileSync('/usr/lib/virlan/VERSION', 'the one before');
  const before = await snapshot();
  stubProgram('ip', 'echo "no such luck" >&2; exit 1');
  const { exitCode, stderr } = await script('install.sh', '--no-packages');
  restorePrograms();
  assert.equal(exitCode, 1, stderr);
  assert.equal(readFileSync('/usr/lib/virlan/VERSION', 'utf8'), 'the one before');
  assert.deepEqual(await changesSince(before), []);
  assert.equal((await virlan('plan')).exitCode, 0);
});

async function networks(): Promise<string> {
  return `${await virsh('net-list', '--all')}\n${await virsh('net-dumpxml', '--inactive', 'default')}`;
}

install(
  "with libvirtd: machines on default are reported, and uninstall restores libvirt's networks",
  async () => {
    await startLibvirtd();
    await define(domainXml({ name: 'old', nics: [{ type: 'network', source: 'default' }] }));
    const before = await networks();
    const output = await runInstall();
    assert.match(output, /machines on libvirt's network default start on k8s-br0 from now on: "old"/);
    assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='k8s-br0'\/>/);
    // This libvirtd started without hooks; the installer has made it load them.
    await startMachine('old');
    assert.equal(readLedger().named('k8s-br0', 'old').length, 1);
    await virsh('destroy', 'old');
    await runUninstall();
    assert.equal(await networks(), before);
    assert(!existsSync('/var/lib/virlan'));

    await runInstall();
    await stopLibvirtd();
    // Without libvirtd uninstall defines the network again but cannot start it.
    assert.match(await runUninstall(), /, define default, autostart default\n/);
    assert(!existsSync('/etc/libvirt/qemu/networks/k8s-br0.xml'));
    rmSync('/run/libvirt/network/autostarted', { force: true });
    await startLibvirtd();
    assert.equal(await networks(), before);

    await runInstall('--default-network=remove');
    assert.doesNotMatch(await virsh('net-list', '--all'), /default/);
    await runUninstall();
    assert.equal(await networks(), before);
    await virsh('undefine', 'old');
    await stopLibvirtd();
  },
);

install.run();
