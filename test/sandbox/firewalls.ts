// ufw, firewalld and Docker on the private host.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

/** The directory where setup.sh has unpacked their packages. */
const unpacked = `${checkout}/build/firewalls`;

/**
 * Installs ufw, firewalld and Docker without starting them. Programs that the machine already has are kept.
 */
export async function installFirewalls(): Promise<void> {
  // Links, because Docker's programs take 250 MB, too much for the overlay in memory.
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
  // The package's postinst does this with update-alternatives.
  const policy = '/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1';
  if (!existsSync(`${policy}.policy`)) symlinkSync(`${policy}.server.policy.choice`, `${policy}.policy`);
  await prepareCgroups();
}

/** Mounts the cgroup hierarchy that has the devices controller, which dockerd needs. */
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

/** Runs ufw. */
export function ufw(...args: string[]) {
  return execa('ufw', args);
}

const running = new Map<'firewalld' | 'dockerd', ChildProcess>();

/** Starts a system bus, unless it runs, and firewalld. Resolves when firewalld answers. */
export async function startFirewalld(): Promise<void> {
  if (!existsSync('/run/dbus/system_bus_socket')) {
    mkdirSync('/run/dbus', { recursive: true });
    await execa('dbus-daemon', ['--system', '--fork']);
  }
  running.set('firewalld', spawn('firewalld', ['--nofork', '--nopid'], { stdio: 'ignore' }));
  await until(firewalldRuns);
}

/** Returns whether firewalld has loaded its rules. firewall-cmd would take longer to start than to ask. */
async function firewalldRuns(): Promise<boolean> {
  const name = 'org.fedoraproject.FirewallD1';
  const property = ['get-property', name, '/org/fedoraproject/FirewallD1', name, 'state'];
  const { stdout } = await execa('busctl', ['--auto-start=no', ...property], { reject: false });
  return stdout === 's "RUNNING"';
}

/** Returns the PID of the started firewalld, or 0. */
export function firewalldPid(): number {
  return running.get('firewalld')?.pid ?? 0;
}

/**
 * Starts Docker's daemon without containers. Resolves when it answers; throws with its output if it exits.
 */
async function startDocker(): Promise<void> {
  const state = ['--data-root', '/run/docker-data', '--exec-root', '/run/docker-exec'];
  const dockerd = spawn('dockerd', ['--storage-driver=vfs', ...state, '-H', 'unix:///run/docker.sock'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  running.set('dockerd', dockerd);
  const output: string[] = [];
  for await (const line of createInterface(dockerd.stderr)) {
    output.push(line);
    if (line.includes('API listen on')) {
      // The pipe must be drained, or dockerd blocks when it is full.
      dockerd.stderr.resume();
      return;
    }
  }
  throw new Error(`dockerd: ${output.slice(-5).join('\n')}`);
}

/** Stops a daemon, also if it is suspended. Does nothing if it does not run. */
export async function stop(daemon: 'firewalld' | 'dockerd'): Promise<void> {
  const child = running.get(daemon);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill('SIGTERM');
  await ended;
  running.delete(daemon);
}

/** Returns whether ufw was enabled, or was given rules. To reset it takes longer than most of what a test does. */
function isUfwUsed(): boolean {
  const defaults = '/usr/share/ufw/iptables';
  const isChanged = (file: string) =>
    readFileSync(`/etc/ufw/${file}`, 'utf8') !== readFileSync(`${defaults}/${file}`, 'utf8');
  const rules = readdirSync(defaults).filter(file => file.endsWith('.rules'));
  return !readFileSync('/etc/ufw/ufw.conf', 'utf8').includes('ENABLED=no') || rules.some(isChanged);
}

/** Stops all of them and removes their configuration and state. */
export async function removeFirewallState(): Promise<void> {
  await stop('dockerd');
  await stop('firewalld');
  if (isUfwUsed()) await ufw('--force', 'reset');
  await execa('sh', ['-c', 'rm -f /etc/ufw/*.20* /etc/firewalld/zones/*']);
  for (const directory of ['/run/docker', '/run/docker-data', '/run/docker-exec'])
    rmSync(directory, { recursive: true, force: true });
}

/** Starts, reloads and stops a firewall other than virlan's, as an administrator would. */
export interface OtherFirewall {
  readonly start: () => Promise<unknown>;
  readonly reload: () => Promise<unknown>;
  readonly restart: () => Promise<unknown>;
  readonly stop: () => Promise<unknown>;
  /** The verdict on machines' packets when it starts after virlan, until virlan repairs. */
  readonly verdictAfterStart: 'open' | 'timeout';
}

export const otherFirewalls: Record<'ufw' | 'firewalld' | 'docker', OtherFirewall> = {
  ufw: {
    start: () => ufw('--force', 'enable'),
    reload: () => ufw('reload'),
    restart: () => ufw('disable').then(() => ufw('--force', 'enable')),
    stop: () => ufw('disable'),
    verdictAfterStart: 'timeout',
  },
  firewalld: {
    start: startFirewalld,
    reload: () => execa('firewall-cmd', ['--reload']),
    restart: () => stop('firewalld').then(startFirewalld),
    stop: () => stop('firewalld'),
    // It loads the zone that virlan has written.
    verdictAfterStart: 'open',
  },
  docker: {
    start: startDocker,
    reload: () => execa('sh', ['-c', 'kill -HUP "$(cat /run/docker.pid)"']),
    restart: () => stop('dockerd').then(startDocker),
    stop: () => stop('dockerd'),
    verdictAfterStart: 'timeout',
  },
};
