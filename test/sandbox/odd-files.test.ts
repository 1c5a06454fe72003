// Files of another mode or type than virlan makes: modes are repaired, and what is not a regular file is refused
// at once. Nothing is copied from what a symbolic link names.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { withLock } from '../../src/system/lock.ts';
import { paths } from '../../src/system/paths.ts';
import { prepare } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import type { Machine } from './machine.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, startWatcherProcess, stopWatcher, watcherPid } from './watcher.ts';

const odd = suite('odd files');

const directory = '/var/lib/dnsmasq/k8s-br0';
const hostsfile = `${directory}/hostsfile`;
const leases = `${directory}/leases`;
const pidFile = '/run/dnsmasq/k8s-br0.pid';
const ini = '/etc/virlan/virlan.ini';
const log = '/var/log/virlan.log';
const config = '[network.k8s-br0]\nstp = no\n';
const web: Machine = { name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0', mac: '52:54:00:00:00:01' }] };

const db: Machine = {
  name: 'db',
  uuid: randomUUID(),
  nics: [{ type: 'bridge', source: 'k8s-br0', mac: '52:54:00:00:00:02' }],
};

function modeOf(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** Runs a shell command with a umask. */
async function withUmask(umask: string, command: string): Promise<void> {
  await execa('sh', ['-c', `umask ${umask}; exec ${command}`]);
}

async function mkfifo(path: string): Promise<void> {
  rmSync(path, { force: true });
  await execa('mkfifo', [path]);
}

odd.before(async () => {
  await installVirlan();
  await configure(config);
});

for (const umask of ['077', '000']) {
  odd(`with umask ${umask}, each file and directory has its own mode`, async () => {
    rmSync('/var/lib/dnsmasq', { recursive: true, force: true });
    await withUmask(umask, '/usr/sbin/virlan up');
    const modes = [
      '/var/lib/dnsmasq',
      directory,
      hostsfile,
      `${directory}/dnsmasq.conf`,
      leases,
      '/run/dnsmasq',
    ];
    assert.deepEqual(modes.map(modeOf), ['755', '755', '644', '644', '644', '755']);
    const own = ['/run/virlan', '/var/lib/virlan', '/var/lib/virlan/before.json', log, '/var/cache/virlan'];
    assert.deepEqual(own.map(modeOf), ['700', '700', '600', '640', '700']);
    await withUmask('022', '/usr/sbin/virlan down');
  });
}

odd('a mode that keeps dnsmasq from reading, or lets anybody write, is planned and repaired', async () => {
  await up();
  chmodSync(directory, 0o700);
  chmodSync(hostsfile, 0o666);
  assert.deepEqual(await plannedSteps(), [
    `~ mode of ${directory} 0700 → 0755`,
    `~ mode of ${hostsfile} 0666 → 0644`,
  ]);
  await up();
  assert.deepEqual([directory, hostsfile].map(modeOf), ['755', '644']);
});

odd('nothing is read through a hostsfile that is a symbolic link, nor its target changed', async () => {
  const shadow = readFileSync('/etc/shadow', 'utf8');
  const mode = modeOf('/etc/shadow');
  rmSync(hostsfile);
  symlinkSync('/etc/shadow', hostsfile);
  assert.equal((await prepare(web)).exitCode, 0);
  const { exitCode, stdout } = await virlan('status');
  assert.match(stdout, /hostsfile is a symbolic link, not a regular file: remove it/);
  assert.equal(exitCode, 0);
  assert.deepEqual([readFileSync('/etc/shadow', 'utf8'), modeOf('/etc/shadow')], [shadow, mode]);
  assert.match(String(logLinesOf('reservation-failed').at(-1)?.msg), /symbolic link/);
  rmSync(hostsfile);
  await up();
});

/** Lets each read of a file fail with EIO, as on a disk that breaks: a process has no memory at address 0. */
async function withReadErrors(path: string, work: () => Promise<void>): Promise<void> {
  const process = execa('sleep', ['infinity'], { reject: false });
  await execa('mount', ['--bind', `/proc/${process.pid}/mem`, path]);
  try {
    assert.throws(() => readFileSync(path), { code: 'EIO' });
    await work();
  } finally {
    await execa('umount', [path]);
    process.kill();
    await process;
  }
}

/** Lets a file or directory be read, but neither written nor replaced, as one that is immutable. */
async function withoutWrites(path: string, work: () => Promise<void>): Promise<void> {
  await execa('mount', ['--bind', path, path]);
  await execa('mount', ['-o', 'remount,ro,bind', path]);
  try {
    await work();
  } finally {
    await execa('umount', [path]);
  }
}

const ledger = '/var/lib/virlan/ledger/machines';

/** Asserts that a machine starts and is reserved, and that the rest is as it was. */
async function assertWhole(machine: Machine, kept: string): Promise<void> {
  assert.deepEqual(await prepare(machine), { exitCode: 0, stderr: '', signal: undefined });
  const text = readFileSync(hostsfile, 'utf8');
  assert(text.includes(`${machine.nics[0]?.mac},`) && text.includes(kept), text);
  // The guard is told when a machine has its tap, or by `up`.
  await up();
  assert.deepEqual(await plannedSteps(), []);
  const left = [directory, '/var/lib/virlan', ledger].flatMap(each => readdirSync(each));
  assert.deepEqual(
    left.filter(name => name.endsWith('.tmp')),
    [],
  );
}

odd('a file that fails with EIO stops no machine, is named in one line, and nothing is lost', async () => {
  assert.equal((await prepare(db)).exitCode, 0);
  const [line = ''] = /^52:54:00:00:00:02,.*$/m.exec(readFileSync(hostsfile, 'utf8')) ?? [];
  for (const path of [ini, hostsfile, leases, `${ledger}/${db.uuid}.json`]) {
    await withReadErrors(path, async () => {
      assert.deepEqual(await prepare(db), { exitCode: 0, stderr: '', signal: undefined }, path);
      const { stdout, stderr } = await virlan('status');
      const named = `${stdout}\n${stderr}`.split('\n').filter(each => each.includes('EIO'));
      assert(
        named.some(each => each.includes(path)),
        `${path}: ${stdout}${stderr}`,
      );
      assert.doesNotMatch(stderr, /\n +at /);
    });
    await assertWhole(db, line);
  }
});

odd('a file that virlan can make again keeps nothing from working when its disk fails with EIO', async () => {
  assert.equal((await prepare(db)).exitCode, 0);
  const own = [`${directory}/names`, `${directory}/dnsmasq.conf`, '/etc/sysctl.d/60-virlan.conf', pidFile];
  for (const path of own) {
    const failed = logLinesOf('reservation-failed').length;
    await withReadErrors(path, async () => {
      assert.deepEqual(await prepare(db), { exitCode: 0, stderr: '', signal: undefined }, path);
      const { exitCode, stdout, stderr } = await virlan('status');
      assert.equal(`${exitCode}${stderr}`, '0', path);
      assert.match(stdout, /52:54:00:00:00:02/, path);
    });
    // Under the mount, it cannot be replaced.
    for (const { msg } of logLinesOf('reservation-failed').slice(failed)) assert.match(String(msg), /EBUSY/);
    assert.match(readFileSync(hostsfile, 'utf8'), /52:54:00:00:00:02/);
    await up();
  }
});

odd('directories and FIFOs in the place of files keep no network and no machine from starting', async () => {
  const extras = '/etc/virlan/dnsmasq.d/k8s-br0';
  const xml = '/etc/libvirt/qemu/networks';
  const odds = [`${extras}/old.conf`, `${xml}/odd.xml`, '/etc/libvirt/qemu/odd.xml'];
  for (const path of odds) mkdirSync(path, { recursive: true });
  await mkfifo(`${extras}/pipe.conf`);
  assert.equal((await virlan('down')).exitCode, 0);
  const onNetwork: Machine = {
    name: 'networked',
    uuid: randomUUID(),
    nics: [{ type: 'network', source: 'k8s-br0', mac: '52:54:00:00:00:03' }, ...web.nics],
  };
  const failed = logLinesOf('reservation-failed').length;
  assert.deepEqual(await prepare(onNetwork), { exitCode: 0, stderr: '', signal: undefined });
  assert.equal(logLinesOf('reservation-failed').length, failed);
  await up();
  assert.deepEqual(await plannedSteps(), []);
  const { exitCode, stdout } = await virlan('status');
  assert.equal(exitCode, 0);
  assert.match(stdout, /networked/);
  for (const path of [...odds, extras]) rmSync(path, { recursive: true });
});

odd('a file or directory that is immutable stops no machine, and nothing is lost', async () => {
  const [line = ''] = /^52:54:00:00:00:02,.*$/m.exec(readFileSync(hostsfile, 'utf8')) ?? [];
  for (const [index, path] of [hostsfile, '/var/lib/virlan', ledger].entries()) {
    const nic = { type: 'bridge', source: 'k8s-br0', mac: `52:54:00:00:01:0${index}` } as const;
    const machine: Machine = { name: `new${index}`, uuid: randomUUID(), nics: [nic] };
    const failed = logLinesOf('reservation-failed').length;
    await withoutWrites(path, async () => {
      assert.deepEqual(await prepare(machine), { exitCode: 0, stderr: '', signal: undefined }, path);
      assert.match(String(logLinesOf('reservation-failed').at(failed)?.msg), /EBUSY|EROFS/);
      assert(readFileSync(hostsfile, 'utf8').includes(line));
    });
    await assertWhole(machine, line);
  }
});

odd('leases that are a FIFO or huge cost no reservation, and status shows the rest', async () => {
  await mkfifo(leases);
  const failed = logLinesOf('reservation-failed').length;
  assert.equal((await prepare(web)).exitCode, 0);
  assert.equal(logLinesOf('reservation-failed').length, failed);
  assert.match(readFileSync(hostsfile, 'utf8'), /52:54:00:00:00:01/);
  assert.match((await virlan('status')).stdout, /leases is a FIFO[\s\S]*MACHINE[\s\S]*web/);
  rmSync(leases);
  writeFileSync(leases, '');
  truncateSync(leases, 100 * 2 ** 20);
  assert.match((await virlan('status')).stdout, /leases has 104857600 bytes/);
});

/** Returns whether a process has a handler for SIGHUP: the bit of signal 1. */
function handlesSighup(pid: number | undefined): boolean {
  const [, caught = ''] = /^SigCgt:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (BigInt(`0x${caught}`) & 1n) === 1n;
}

async function assertNoDebugger(): Promise<void> {
  assert.match((await virlan('status')).stdout, /k8s-br0/);
  assert.doesNotMatch((await execa('ss', ['-lnt'])).stdout, /:9229/);
}

odd('a watcher that still starts lives on with signals, and opens no debugger', async () => {
  let starting: ChildProcess | undefined;
  await withLock(paths.networkLock, 5, async () => {
    starting = startWatcherProcess();
    await until(() => handlesSighup(starting?.pid), 20);
    for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) starting.kill(signal);
    await assertNoDebugger();
  });
  await until(async () => /watcher running/.test((await virlan('status')).stdout), 30);
  assert.deepEqual([starting?.exitCode, starting?.signalCode], [null, null]);
  await stopWatcher();
});

odd('the watcher lives on with loops of links and with signals, and opens no debugger', async () => {
  symlinkSync('loop', '/var/lib/dnsmasq/loop');
  mkdirSync('/etc/virlan/dnsmasq.d', { recursive: true });
  symlinkSync('loop', '/etc/virlan/dnsmasq.d/loop');
  await startLibvirtd();
  await startWatcher();
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) process.kill(watcherPid(), signal);
  assert.match((await virlan('status')).stdout, /watcher running/);
  await assertNoDebugger();
});

odd(
  'temporary files of killed processes are removed from all directories, those of living ones are not',
  async () => {
    const killed = spawn('true');
    await once(killed, 'exit');
    const directories = [
      directory,
      '/run/virlan',
      '/run/virlan/guard',
      '/run/virlan/starts',
      '/var/lib/libvirt/dnsmasq',
      '/var/lib/virlan',
      '/var/lib/virlan/cluster',
      '/var/lib/virlan/ledger/machines',
      '/var/lib/virlan/ledger/retired',
    ];
    await stopWatcher();
    for (const place of directories) {
      mkdirSync(place, { recursive: true });
      for (const pid of [killed.pid, process.pid]) writeFileSync(`${place}/any.${pid}.tmp`, '');
    }
    await startWatcher();
    const left = (pid: number | undefined) =>
      directories.filter(place => existsSync(`${place}/any.${pid}.tmp`));
    await until(() => left(killed.pid).length === 0);
    assert.deepEqual(left(process.pid), directories);
    for (const place of directories) rmSync(`${place}/any.${process.pid}.tmp`);
  },
);

odd(
  'files in a file system that is mounted over a followed directory are followed, and again without it',
  async () => {
    const applied = () => logLinesOf('configuration-applied').length;
    const changed = async (subnet: string) => {
      const before = applied();
      writeFileSync(ini, `${config}subnet = ${subnet}\n`);
      await until(() => applied() > before, 10);
    };
    const outside = applied();
    await execa('mount', ['-t', 'tmpfs', 'tmpfs', '/etc/virlan']);
    await until(() => applied() > outside, 10);
    for (const third of [120, 121, 122]) await changed(`192.168.${third}.0/24`);
    const inside = applied();
    await execa('umount', ['/etc/virlan']);
    await until(() => applied() > inside, 10);
    for (const third of [123, 124]) await changed(`192.168.${third}.0/24`);
    const before = applied();
    await configure(config);
    await until(() => applied() > before, 10);
  },
);

odd('a view of the status lives on with SIGUSR1, and opens no debugger', async () => {
  const view = spawn('/usr/sbin/virlan', ['status', '--watch', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(view, 'exit');
  await once(view.stdout, 'data');
  view.kill('SIGUSR1');
  await assertNoDebugger();
  view.kill('SIGTERM');
  assert.notDeepEqual(await ended, [null, 'SIGUSR1']);
});

odd(
  'the watcher replaces a configuration of dnsmasq that became a FIFO, and a pid file that did',
  async () => {
    const pid = watcherPid();
    for (const path of [`${directory}/dnsmasq.conf`, pidFile]) {
      await mkfifo(path);
      assert.deepEqual(await prepare(db), { exitCode: 0, stderr: '', signal: undefined }, path);
      await until(async () => (await plannedSteps()).length === 0);
    }
    assert(statSync(`${directory}/dnsmasq.conf`).isFile());
    assert.equal(watcherPid(), pid);
  },
);

odd('the watcher lives on with huge leases, and with a FIFO as virlan.ini', async () => {
  writeFileSync(leases, 'changed');
  truncateSync(leases, 100 * 2 ** 20);
  await until(() => logLinesOf('failed').some(({ msg }) => /leases has \d+ bytes/.test(String(msg))));
  writeFileSync(leases, '');
  await mkfifo(ini);
  await until(() => logLinesOf('configuration-rejected').some(({ msg }) => /is a FIFO/.test(String(msg))));
  assert.match((await virlan('status')).stdout, /watcher running[\s\S]*virlan.ini: cannot be read: .*FIFO/);
  await stopWatcher();
  assert.equal((await prepare(web)).exitCode, 0);
  rmSync(ini);
  await configure(config);
});

odd('a log that is a FIFO, or cannot be written, decides nothing', async () => {
  await mkfifo(log);
  await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 0);
  assert.match(stderr, /^virlan: \/var\/log\/virlan\.log cannot be written: .*FIFO/);
  await startWatcher();
  await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
  await until(async () => (await execa('nft', ['list', 'tables'])).stdout.includes('virlan-k8s-br0'));
  await stopWatcher();
  rmSync(log);
});

odd('without root, each command says in one line that it needs it', async () => {
  const { exitCode, stderr } = await execa(
    'setpriv',
    ['--reuid=65534', '--clear-groups', '/usr/sbin/virlan', 'status'],
    {
      reject: false,
    },
  );
  assert.equal(stderr, 'virlan: status needs root: sudo virlan status');
  assert.equal(exitCode, 1);
});

odd.run();
