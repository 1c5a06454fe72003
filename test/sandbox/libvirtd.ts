// libvirtd of the private host: start, stop, virsh.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, watch } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { execa } from 'execa';

const sockets = '/run/libvirt';
/** libvirtd creates this socket last: when it exists, the others listen. */
const lastSocket = `${sockets}/libvirt-admin-sock`;

export const libvirtdLog = '/var/log/libvirt/libvirtd.log';

let libvirtd: ChildProcess | undefined;

/**
 * Starts virtlogd, unless it runs, and libvirtd, with the environment that systemd would set. Resolves when
 * libvirtd answers, which is after it has autostarted networks and machines. Throws with libvirtd's log if
 * libvirtd exits.
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
        throw new Error(`libvirtd exited at its start:\n${readFileSync(libvirtdLog, 'utf8')}`);
      }
    }
  } finally {
    watcher.close();
  }
  await monitorsAreConnected();
}

/**
 * Waits until libvirtd is connected to the monitor of each running machine again, by a request to each
 * monitor. If a machine is destroyed before that, libvirtd reports that the machine is not running.
 */
async function monitorsAreConnected(): Promise<void> {
  const running = (await virsh('list', '--uuid')).split('\n').filter(uuid => uuid !== '');
  // A machine that has ended meanwhile is ignored.
  await Promise.all(running.map(uuid => virsh('dommemstat', '--domain', uuid).catch(() => '')));
}

/** Stops libvirtd as `systemctl stop` does, and resolves when it has exited. Machines keep running. */
export async function stopLibvirtd(): Promise<void> {
  await endLibvirtd('SIGTERM');
}

/** Kills libvirtd, so that it cannot call its hooks. */
export async function killLibvirtd(): Promise<void> {
  await endLibvirtd('SIGKILL');
}

/** Stops libvirtd and starts it again. */
export async function restartLibvirtd(): Promise<void> {
  await stopLibvirtd();
  await startLibvirtd();
}

let restarting: Promise<void> = Promise.resolve();

/**
 * Does work that needs libvirtd; does it again if libvirtd has crashed meanwhile, and starts libvirtd again, as systemd
 * would. libvirtd 9.0 sometimes ends by SIGSEGV in its event loop (vireventglib.c) when a client is killed.
 */
export async function despiteCrashes<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    await restarting;
    const daemon = libvirtd;
    try {
      return await work();
    } catch (error) {
      if (daemon === undefined || !(await hasCrashed(daemon))) throw error;
      if (libvirtd === daemon) {
        console.log(`libvirtd ended by ${daemon.signalCode} and is started again`);
        libvirtd = undefined;
        restarting = monitorsAreReleased().then(startLibvirtd);
      }
    }
  }
}

async function hasCrashed(daemon: ChildProcess): Promise<boolean> {
  const isRunning = daemon.exitCode === null && daemon.signalCode === null;
  // A client may hear of it before the parent does.
  if (isRunning) await Promise.race([once(daemon, 'exit'), setTimeout(2000)]);
  return daemon.signalCode === 'SIGSEGV' || daemon.signalCode === 'SIGABRT';
}

async function endLibvirtd(signal: NodeJS.Signals): Promise<void> {
  if (!libvirtd) throw new Error('libvirtd was not started');
  const exited = once(libvirtd, 'exit');
  libvirtd.kill(signal);
  await exited;
  libvirtd = undefined;
  await monitorsAreReleased();
}

/** In /proc/net/unix, a connected socket has state 03. */
const connectedMonitor = /^\S+: (?:\S+ ){4}03 .*\/monitor\.sock$/m;

/**
 * Waits until each QEMU has closed its monitor connection to the old libvirtd. QEMU accepts one connection at
 * a time, and a new libvirtd that is refused kills the machine. There is no event for it, so the state is
 * polled.
 */
async function monitorsAreReleased(): Promise<void> {
  const end = performance.now() + 10_000;
  while (connectedMonitor.test(readFileSync('/proc/net/unix', 'utf8'))) {
    if (performance.now() > end)
      throw new Error('a QEMU still holds the monitor connection to the old libvirtd');
    await setTimeout(5);
  }
}

/**
 * Runs virsh on the system's libvirtd and returns its standard output. Throws with its standard error if it
 * fails or takes longer than four minutes, which is enough on an emulated host.
 */
export async function virsh(...args: string[]): Promise<string> {
  const { stdout } = await execa('virsh', ['-c', 'qemu:///system', ...args], { timeout: 240_000 });
  return stdout;
}
