import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

/** Where setup.sh has unpacked them. */
const unpacked = `${checkout}/build/firewalls`;

/** Puts ufw, firewalld and Docker on the private host, none of them running. What of them the machine has already stays. */
export async function installFirewalls(): Promise<void> {
  // Docker's programs fill a quarter of a gigabyte, too much to copy into memory.
  for (const programs of ['bin', 'sbin'])
    await execa('cp', ['-rsf', `${unpacked}/usr/${programs}/.`, `/usr/${programs}/`], { reject: false });
  for (const [from, to] of [
    ['etc', 'etc'],
    ['lib', 'usr/lib'],
    ['usr/lib', 'usr/lib'],
    ['usr/share', 'usr/share'],
  ])
    if (existsSync(`${unpacked}/${from}`)) await execa('cp', ['-a', `${unpacked}/${from}/.`, `/${to}/`]);
  await execa('sh', [
    '-c',
    'cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /usr/share/ufw/*.init /etc/ufw/',
  ]);
  // What its postinst does: https://manpages.debian.org/update-alternatives
  const policy = '/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1';
  if (!existsSync(`${policy}.policy`)) symlinkSync(`${policy}.server.policy.choice`, `${policy}.policy`);
  await prepareCgroups();
}

/** dockerd wants the controller of devices, wherever this kernel has it. */
async function prepareCgroups(): Promise<void> {
  const root = '/sys/fs/cgroup';
  const isFirstVersion = /^devices\t[1-9]/m.test(readFileSync('/proc/cgroups', 'utf8'));
  if (!isFirstVersion) {
    await execa('mount', ['-t', 'cgroup2', 'private', root]);
    return;
  }
  await execa('mount', ['-t', 'tmpfs', 'private', root]);
  mkdirSync(`${root}/devices`);
  await execa('mount', ['-t', 'cgroup', '-o', 'devices', 'private', `${root}/devices`]);
}

export const ufw = (...args: string[]) => execa('ufw', args);

const running = new Map<'firewalld' | 'dockerd', ChildProcess>();

/** Starts a system bus, once, and firewalld, and resolves when it answers. */
export async function startFirewalld(): Promise<void> {
  if (!existsSync('/run/dbus/system_bus_socket')) {
    mkdirSync('/run/dbus', { recursive: true });
    await execa('dbus-daemon', ['--system', '--fork']);
  }
  running.set('firewalld', spawn('firewalld', ['--nofork', '--nopid'], { stdio: 'ignore' }));
  await until(async () => (await execa('firewall-cmd', ['--state'], { reject: false })).exitCode === 0);
}

export function firewalldPid(): number {
  return running.get('firewalld')?.pid ?? 0;
}

/** Starts Docker's daemon, without any container, and resolves when it answers. */
export async function startDocker(): Promise<void> {
  const state = ['--data-root', '/run/docker-data', '--exec-root', '/run/docker-exec'];
  const dockerd = spawn('dockerd', ['--storage-driver=vfs', ...state, '-H', 'unix:///run/docker.sock'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  running.set('dockerd', dockerd);
  const said: string[] = [];
  for await (const line of createInterface(dockerd.stderr)) {
    said.push(line);
    if (line.includes('API listen on')) {
      // Somebody has to read on, or it stands still when the pipe is full.
      dockerd.stderr.resume();
      return;
    }
  }
  throw new Error(`dockerd: ${said.slice(-5).join('\n')}`);
}

export async function stop(daemon: 'firewalld' | 'dockerd'): Promise<void> {
  const child = running.get(daemon);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await ended;
  running.delete(daemon);
}

/** Stops all of them, and takes away what they were told. */
export async function removeFirewallState(): Promise<void> {
  await stop('dockerd');
  await stop('firewalld');
  await ufw('--force', 'reset');
  await execa('sh', ['-c', 'rm -f /etc/ufw/*.20* /etc/firewalld/zones/*']);
  for (const directory of ['/run/docker', '/run/docker-data', '/run/docker-exec'])
    rmSync(directory, { recursive: true, force: true });
}

/** What tests do with another firewall. */
export interface Other {
  readonly start: () => Promise<unknown>;
  readonly reload: () => Promise<unknown>;
  readonly restart: () => Promise<unknown>;
  readonly stop: () => Promise<unknown>;
  /** What becomes of machines' packets when it starts after virlan, before virlan has looked again. */
  readonly atItsStart: 'open' | 'timeout';
}

export const others: Record<'ufw' | 'firewalld' | 'docker', Other> = {
  ufw: {
    start: () => ufw('--force', 'enable'),
    reload: () => ufw('reload'),
    restart: () => ufw('disable').then(() => ufw('--force', 'enable')),
    stop: () => ufw('disable'),
    atItsStart: 'timeout',
  },
  firewalld: {
    start: startFirewalld,
    reload: () => execa('firewall-cmd', ['--reload']),
    restart: () => stop('firewalld').then(startFirewalld),
    stop: () => stop('firewalld'),
    // It finds the zone that virlan has written.
    atItsStart: 'open',
  },
  docker: {
    start: startDocker,
    reload: () => execa('sh', ['-c', 'kill -HUP "$(cat /run/docker.pid)"']),
    restart: () => stop('dockerd').then(startDocker),
    stop: () => stop('dockerd'),
    atItsStart: 'timeout',
  },
};
