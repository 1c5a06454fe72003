import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
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
import { stubProgram } from './program-stubs.ts';
import { resetHost } from './reset-host.ts';
import { changesSince, difference, type Snapshot, snapshot } from './snapshot.ts';

const install = suite('install');
const hooks = '/etc/libvirt/hooks';
const config = '[network.k8s-br0]\nstp = no\n';

async function script(name: string, ...args: string[]): Promise<Outcome> {
  const run = await execa('sh', [`${checkout}/install/${name}`, ...args], { reject: false, timeout: 60_000 });
  return { exitCode: run.exitCode ?? -1, stdout: run.stdout, stderr: run.stderr };
}

async function installed(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await script('install.sh', '--no-packages', ...args);
  assert.equal(`${stderr}${exitCode}`, '0');
  return stdout;
}

async function uninstalled(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await script('uninstall.sh', ...args);
  assert.equal(`${stderr}${exitCode}`, '0');
  return stdout;
}

/** All that virlan installs or writes down, also where a snapshot does not look. */
async function places(): Promise<Snapshot> {
  const program = ['/usr/lib/virlan', '/usr/lib/virlan.virlan-new', '/usr/lib/virlan.virlan-old'];
  const others = ['/etc/virlan', '/etc/systemd', '/etc/libvirt', '/usr/lib/systemd/system', '/usr/sbin'];
  const data = ['/var/lib/virlan', '/var/lib/dnsmasq', '/var/cache/virlan', '/var/log/virlan.log', '/run'];
  const roots = [...program, ...others, ...data];
  const { stdout } = await execa('find', [...roots, '-printf', '%p %y %m %l\n'], { reject: false });
  return stdout.split('\n').filter(line => /^[^ ]*(virlan|dnsmasq\/|libvirt\/hooks)/.test(line));
}

async function wholeHost(): Promise<{ state: Snapshot; files: Snapshot }> {
  return { state: await snapshot(), files: await places() };
}

install.after.each(async () => {
  await script('uninstall.sh');
  await resetHost();
});

install('without libvirtd: established, and gone without trace, also a second time', async () => {
  const before = await wholeHost();
  assert.match(
    await installed(),
    /^k8s-br0 is up:[\s\S]*Next: systemd does not run here, so keep "virlan watch"/,
  );
  assert.equal((await virlan('plan')).exitCode, 0);
  const established = await snapshot();
  await installed();
  const anew = /\/usr\/lib\/virlan\/|\/etc\/libvirt\/hooks\/|before.json/;
  assert.deepEqual(await changesSince(established, anew), []);
  // The first probe makes the directory of network namespaces.
  await virlan('doctor');
  assert(existsSync('/run/netns'));

  for (let times = 0; times < 2; times += 1) {
    assert.match(await uninstalled(), /virlan is removed/);
    assert.deepEqual(difference(before.state, await snapshot()), []);
    assert.deepEqual(difference(before.files, await places()), []);
    assert(!existsSync('/run/netns'));
  }
});

install('a network that is half there, and a broken virlan.ini, hinder no removal', async () => {
  const before = await wholeHost();
  await installed();
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  await execa('nft', ['flush', 'ruleset']);
  rmSync('/run/virlan', { recursive: true });
  await configure('[network.k8s-br0]\nnonsense\n');
  const { exitCode, stderr } = await script('uninstall.sh');
  assert.equal(exitCode, 0);
  assert.match(stderr, /^virlan: warning: .*virlan.ini:2: /);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await places()), []);
});

install('--keep-data keeps the ledger, the reservations and the configuration', async () => {
  await installed();
  writeFileSync('/var/lib/virlan/ledger.jsonl', '');
  await uninstalled('--keep-data');
  for (const path of [
    '/var/lib/virlan/ledger.jsonl',
    '/etc/virlan/virlan.ini',
    '/var/lib/dnsmasq/k8s-br0/hostsfile',
  ]) {
    assert(existsSync(path), path);
  }
  for (const path of ['/usr/lib/virlan', '/usr/sbin/virlan', `${hooks}/qemu`, '/sys/class/net/k8s-br0'])
    assert(!existsSync(path), path);
});

install('a line of the hostsfile that somebody wrote by hand outlives virlan', async () => {
  const line = '52:54:00:00:00:99,192.168.100.99,mine\n';
  mkdirSync('/var/lib/dnsmasq/k8s-br0', { recursive: true });
  writeFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', line);
  await configure(
    `${config}[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n`,
  );
  await installed();
  assert.match(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), /printer/);
  await uninstalled();
  assert.equal(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8'), line);
});

const own = '#!/bin/sh\n# my own hook\n';

install('beside a hook of the user’s own, which stays as it is', async () => {
  writeFileSync(`${hooks}/qemu`, own, { mode: 0o755 });
  mkdirSync(`${hooks}/qemu.d/web/prepare`, { recursive: true });
  await installed('--no-start');
  await installed('--no-start');
  assert.equal(readFileSync(`${hooks}/qemu`, 'utf8'), own);
  const { stdout } = await execa('find', [hooks, '-type', 'f', '-perm', '755']);
  assert.deepEqual(
    stdout.split('\n').sort(),
    ['daemon', 'network', 'qemu', 'qemu.d/50-virlan'].map(path => `${hooks}/${path}`),
  );
  await uninstalled();
  const { stdout: left } = await execa('find', [hooks, '-type', 'f']);
  assert.equal(left, `${hooks}/qemu`);
  rmSync(hooks, { recursive: true });
  mkdirSync(hooks);
});

install('a libvirt that runs only one hook: refused, until the user’s own calls virlan’s', async () => {
  writeFileSync(`${hooks}/qemu`, own, { mode: 0o755 });
  stubProgram('libvirtd', 'echo "libvirtd (libvirt) 6.4.0"');
  const before = await wholeHost();
  const { exitCode, stderr } = await script('install.sh', '--no-packages', '--no-start');
  assert.equal(exitCode, 1);
  const [, line = ''] = /runs only one: add the line {2}(.*) {2}to it/.exec(stderr) ?? [];
  assert.equal(stderr.trim().split('\n').length, 1);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await places()), []);

  writeFileSync(`${hooks}/qemu`, `${own}${line}\necho own\n`);
  // Without virlan the line does nothing; with it the hook is called and says that there is nothing to do.
  assert.equal((await execa(`${hooks}/qemu`, ['web', 'started', 'begin', '-'])).stdout, 'own');
  await installed('--no-start');
  assert.equal((await execa(`${hooks}/qemu`, ['web', 'started', 'begin', '-'])).stdout, 'own');
  assert(!existsSync(`${hooks}/qemu.d`));
  rmSync(`${hooks}/qemu`);
});

const keys: [before: string, after: string][] = [
  ['', '[network.k8s-br0]\ndefault-network = keep\n'],
  ['; mine\n', '; mine\n[network.k8s-br0]\ndefault-network = keep\n'],
  [
    '[network.a]\nstp = no\n\n[network.b]  ; second\nsubnet = 10.0.0.0/24\n',
    '[network.a]\nstp = no\ndefault-network = keep\n\n[network.b]  ; second\nsubnet = 10.0.0.0/24\ndefault-network = keep\n',
  ],
  [
    '[network.a]\ndefault-network=auto ; why\nstp = no\n[host.h]\nnetwork = a\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n',
    '[network.a]\ndefault-network = keep\nstp = no\n[host.h]\nnetwork = a\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n',
  ],
];

install('--default-network writes the key, and leaves the rest of the file as it is', async () => {
  for (const [before, after] of keys) {
    await configure(before);
    await installed('--no-start', '--default-network=keep');
    assert.equal(readFileSync('/etc/virlan/virlan.ini', 'utf8'), after);
    assert.equal((await virlan('plan')).exitCode, 3);
  }
  const outcome = await script('install.sh', '--default-network=off');
  assert.deepEqual([outcome.exitCode, outcome.stdout], [2, '']);
});

install('--dry-run says what would be done, and does nothing', async () => {
  const before = await wholeHost();
  const said = await installed('--dry-run');
  assert.match(said, /^would install \/usr\/lib\/virlan [\s\S]*\+ bridge k8s-br0 [\s\S]*none made/);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  assert.deepEqual(difference(before.files, await places()), []);
});

install('--destdir copies, and nothing else', async () => {
  const before = await wholeHost();
  const { exitCode } = await script('install.sh', '--destdir', '/tmp/root');
  assert.equal(exitCode, 0);
  assert.deepEqual(difference(before.state, await snapshot()), []);
  for (const path of [
    'usr/lib/virlan/setup',
    'usr/lib/virlan/hooks/qemu',
    'usr/sbin/virlan',
    'etc/virlan/virlan.ini',
  ])
    assert(existsSync(`/tmp/root/${path}`), path);
  rmSync('/tmp/root', { recursive: true });
});

/** Mounts over a directory: a file system that is full, or the directory itself, read-only. */
async function cover(
  directory: string,
  how: 'full' | 'read-only',
): Promise<{ stop: () => Promise<unknown> }> {
  if (how === 'full') {
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'none', directory]);
    writeFileSync(`${directory}/filling`, Buffer.alloc(4096));
  } else {
    await execa('mount', ['--bind', directory, directory]);
    await execa('mount', ['-o', 'remount,bind,ro', directory]);
  }
  return { stop: () => execa('umount', ['--lazy', directory]) };
}

/** Takes a program off the host for a while. */
function hide(path: string): { stop: () => Promise<unknown> } {
  renameSync(path, `${path}.hidden`);
  return { stop: async () => renameSync(`${path}.hidden`, path) };
}

interface Obstacle {
  title: string;
  says: RegExp;
  /** Gives what takes it away again, where it does not go with the bare host. */
  put(): unknown;
  as?: string;
}

const obstacles: Obstacle[] = [
  { title: 'no root', says: /needs root: run it with sudo/, as: 'nobody', put: () => {} },
  {
    title: 'no Node',
    says: /packages are missing: apt-get install nodejs/,
    put: () => hide('/usr/bin/node'),
  },
  {
    title: 'too old a Node',
    says: /node is v18.20.4, too old: install Node.js 20.19 or newer/,
    put: () => {
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
    says: /packages are missing: apt-get install libvirt-daemon-system/,
    put: () => hide('/usr/sbin/libvirtd'),
  },
  {
    title: 'no dnsmasq',
    says: /packages are missing: apt-get install dnsmasq-base/,
    put: () => hide('/usr/sbin/dnsmasq'),
  },
  {
    title: 'a read-only /etc',
    says: /\/etc.*Read-only file system: see to that/,
    put: () => cover('/etc', 'read-only'),
  },
  {
    title: 'a read-only /usr',
    says: /\/usr.*Read-only file system: see to that/,
    put: () => cover('/usr', 'read-only'),
  },
  {
    title: 'a full disk, while files are copied',
    says: /No space left on device: see to that/,
    put: () => cover('/usr/lib/systemd/system', 'full'),
  },
  {
    title: 'a full disk, while hooks are placed',
    says: /No space left on device: see to that/,
    put: () => cover(hooks, 'full'),
  },
  {
    title: 'a full disk, while the network is established',
    says: /sysctl.d\/60-virlan.conf cannot be written: .*no space left on device.*; the host is as it was$/,
    put: () => cover('/etc/sysctl.d', 'full'),
  },
  {
    title: "a subnet of the host's LAN",
    says: /192.168.100.0\/24 overlaps 192.168.0.0\/16 of wan: choose another subnet .*; nothing was installed$/,
    put: async () => {
      await execa('ip', ['link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'peer']);
      for (const link of ['wan', 'peer'])
        await execa('ip', ['link', 'set', link, 'up', 'addrgenmode', 'none']);
      await execa('ip', ['address', 'add', '192.168.3.4/16', 'dev', 'wan']);
    },
  },
  {
    title: "port 53 of the bridge's address, taken",
    says: /192.168.100.1: Address already in use: stop what listens there, "ss -lntup" shows it; the host is as it was$/,
    put: () => serve(host, { proto: 'tcp', port: 53 }),
  },
  {
    title: 'a broken virlan.ini',
    says: /virlan.ini:2: .*; nothing was installed$/,
    put: () => configure('[network.k8s-br0]\nnonsense\n'),
  },
  {
    title: 'a file of the user’s own where the hook would go',
    says: /50-virlan is a file of your own: rename it/,
    put: () => {
      mkdirSync(`${hooks}/qemu.d`);
      for (const path of ['qemu', 'qemu.d/50-virlan'])
        writeFileSync(`${hooks}/${path}`, own, { mode: 0o755 });
    },
  },
];

for (const { title, says, put, as } of obstacles) {
  install(`one line, and nothing half-done: ${title}`, async () => {
    const obstacle = (await put()) as { stop?: () => unknown } | undefined;
    const before = await wholeHost();
    const command = ['sh', `${checkout}/install/install.sh`, '--no-packages'];
    const [program = '', ...args] = as === undefined ? command : ['setpriv', `--reuid=${as}`, ...command];
    const { exitCode, stdout, stderr } = await execa(program, args, { reject: false });
    const after = await wholeHost();
    await obstacle?.stop?.();
    rmSync(`${hooks}/qemu`, { force: true });
    rmSync(`${hooks}/qemu.d`, { recursive: true, force: true });
    assert.equal(stdout, '');
    assert.match(stderr, says);
    assert.deepEqual([exitCode, stderr.trim().split('\n').length], [1, 1], stderr);
    assert.deepEqual(difference(before.state, after.state), []);
    assert.deepEqual(difference(before.files, after.files), []);
  });
}

install('an upgrade that fails leaves the virlan that was there, and its network', async () => {
  await configure(config);
  await installed();
  writeFileSync('/usr/lib/virlan/VERSION', 'the one before');
  const before = await snapshot();
  stubProgram('ip', 'echo "no such luck" >&2; exit 1');
  const { exitCode, stderr } = await script('install.sh', '--no-packages');
  await execa('cp', ['-a', '--remove-destination', '/tmp/originals/.', '/']);
  assert.equal(exitCode, 1, stderr);
  assert.equal(readFileSync('/usr/lib/virlan/VERSION', 'utf8'), 'the one before');
  assert.deepEqual(await changesSince(before), []);
  assert.equal((await virlan('plan')).exitCode, 0);
});

async function networks(): Promise<string> {
  return `${await virsh('net-list', '--all')}\n${await virsh('net-dumpxml', '--inactive', 'default')}`;
}

install(
  "with libvirtd: default's machines are named, and libvirt's networks come back as they were",
  async () => {
    await startLibvirtd();
    await define(domainXml({ name: 'old', nics: [{ type: 'network', source: 'default' }] }));
    const before = await networks();
    const said = await installed();
    assert.match(said, /machines on libvirt's network default start on k8s-br0 from now on: "old"/);
    assert.match(await virsh('net-dumpxml', 'default'), /<bridge name='k8s-br0'\/>/);
    // This libvirtd started without hooks; it has been told of them.
    await startMachine('old');
    assert.match(readFileSync('/var/lib/virlan/ledger.jsonl', 'utf8'), /"old"/);
    await virsh('destroy', 'old');
    await uninstalled();
    assert.equal(await networks(), before);
    assert(!existsSync('/var/lib/virlan'));

    await installed();
    await stopLibvirtd();
    // Without libvirtd the network is defined again, but not started.
    assert.match(await uninstalled(), /, define default, autostart default\n/);
    assert(!existsSync('/etc/libvirt/qemu/networks/k8s-br0.xml'));
    rmSync('/run/libvirt/network/autostarted', { force: true });
    await startLibvirtd();
    assert.equal(await networks(), before);

    await installed('--default-network=remove');
    assert.doesNotMatch(await virsh('net-list', '--all'), /default/);
    await uninstalled();
    assert.equal(await networks(), before);
    await virsh('undefine', 'old');
    await stopLibvirtd();
  },
);

install.run();
