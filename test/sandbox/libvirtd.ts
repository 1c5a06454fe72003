import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, watch } from 'node:fs';
import { execa } from 'execa';

const sockets = '/run/libvirt';
/** libvirtd makes this socket last: when it is there, the others listen. */
const lastSocket = `${sockets}/libvirt-admin-sock`;

export const libvirtdLog = '/var/log/libvirt/libvirtd.log';

let libvirtd: ChildProcess | undefined;

/**
 * Starts virtlogd, where it isn't running, and libvirtd, with the environment that systemd gives it.
 * Resolves when libvirtd answers, which is after networks and machines have been autostarted.
 * Throws with libvirtd's log when it ends instead.
 */
export async function startLibvirtd(): Promise<void> {
  mkdirSync(sockets, { recursive: true });
  if (!existsSync('/run/virtlogd.pid')) await execa('virtlogd', ['-d']);
  for (const name of ['libvirt-sock', 'libvirt-sock-ro', 'libvirt-admin-sock']) {
    rmSync(`${sockets}/${name}`, { force: true });
  }
  const log = openSync(libvirtdLog, 'a');
  const env = { PATH: process.env.PATH };
  const daemon = spawn('libvirtd', [], { cwd: '/', env, stdio: ['ignore', log, log] });
  closeSync(log);
  libvirtd = daemon;

  const watcher = watch(sockets);
  try {
    while (!existsSync(lastSocket)) {
      await Promise.race([once(watcher, 'change'), once(daemon, 'exit')]);
      if (daemon.exitCode !== null || daemon.signalCode) {
        throw new Error(`libvirtd ended at its start:\n${readFileSync(libvirtdLog, 'utf8')}`);
      }
    }
  } finally {
    watcher.close();
  }
  await machinesAreFound();
}

/**
 * Waits until libvirtd has its machines' monitors again, by asking each for something: one that is destroyed sooner is
 * killed under the hands of libvirtd, which says then that it does not run.
 */
async function machinesAreFound(): Promise<void> {
  const running = (await virsh('list', '--uuid')).split('\n').filter(uuid => uuid !== '');
  // One that has ended meanwhile is none to wait for.
  await Promise.all(running.map(uuid => virsh('dommemstat', '--domain', uuid).catch(() => '')));
}

/** Ends libvirtd as `systemctl stop` does, and resolves when it has exited. Machines run on. */
export async function stopLibvirtd(): Promise<void> {
  await endLibvirtd('SIGTERM');
}

/** Kills libvirtd without a chance to call its hooks. */
export async function killLibvirtd(): Promise<void> {
  await endLibvirtd('SIGKILL');
}

export async function restartLibvirtd(): Promise<void> {
  await stopLibvirtd();
  await startLibvirtd();
}

async function endLibvirtd(signal: NodeJS.Signals): Promise<void> {
  if (!libvirtd) throw new Error('libvirtd was not started');
  const exited = once(libvirtd, 'exit');
  libvirtd.kill(signal);
  await exited;
  libvirtd = undefined;
  await monitorsLetGo();
}

/** In /proc/net/unix, a connected socket has state 03. */
const connectedMonitor = /^\S+: (?:\S+ ){4}03 .*\/monitor\.sock$/m;

/**
 * Waits until each QEMU has seen that its monitor's peer is gone. It takes one connection at a time, refuses one that
 * comes sooner, and libvirtd, which started again, kills the machine for that. Nothing tells, so it is looked at.
 */
async function monitorsLetGo(): Promise<void> {
  const end = performance.now() + 10_000;
  while (connectedMonitor.test(readFileSync('/proc/net/unix', 'utf8'))) {
    if (performance.now() > end)
      throw new Error('a QEMU holds the connection of its monitor to a libvirtd that is gone');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/**
 * Runs virsh on the system's libvirtd and returns what it prints.
 * Throws with its standard error when it fails or takes longer than an emulated host needs, four minutes.
 */
export async function virsh(...args: string[]): Promise<string> {
  const { stdout } = await execa('virsh', ['-c', 'qemu:///system', ...args], { timeout: 240_000 });
  return stdout;
}
