// systemd-resolved on the private host.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { internetAddress } from './namespaces.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

/** The directory where setup.sh has unpacked its package. */
const unpacked = `${checkout}/build/resolved`;

const user = 'systemd-resolve';

/** The address at which it answers programs of the host. */
export const stub = '127.0.0.53';

let resolved: ChildProcess | undefined;

/** Installs systemd-resolved without starting it. Programs of the host ask it, and it asks the internet. */
export async function installResolved(): Promise<void> {
  for (const [from, to] of [
    ['etc', '/etc'],
    ['lib', '/usr/lib'],
    ['usr', '/usr'],
  ] as const)
    if (existsSync(`${unpacked}/${from}`)) await execa('cp', ['-a', `${unpacked}/${from}/.`, `${to}/`]);
  if (!readFileSync('/etc/passwd', 'utf8').includes(`\n${user}:`)) {
    appendFileSync('/etc/passwd', `${user}:x:981:981::/:/usr/sbin/nologin\n`);
    appendFileSync('/etc/group', `${user}:x:981:\n`);
  }
  mkdirSync('/etc/systemd/resolved.conf.d', { recursive: true });
  writeFileSync('/etc/systemd/resolved.conf.d/test.conf', `[Resolve]\nDNS=${internetAddress}\n`);
  writeFileSync('/etc/resolv.conf', `nameserver ${stub}\n`);
}

/** Starts a system bus, unless it runs, and systemd-resolved. Resolves when it has its name on the bus. */
export async function startResolved(): Promise<void> {
  if (!existsSync('/run/dbus/system_bus_socket')) {
    mkdirSync('/run/dbus', { recursive: true });
    await execa('dbus-daemon', ['--system', '--fork']);
  }
  // systemd would make it (RuntimeDirectory=).
  mkdirSync('/run/systemd/resolve', { recursive: true });
  await execa('chown', [`${user}:${user}`, '/run/systemd/resolve']);
  resolved = spawn('/usr/lib/systemd/systemd-resolved', [], { stdio: 'ignore' });
  await until(async () => (await execa('resolvectl', ['status'], { reject: false })).exitCode === 0);
}

/** Stops it. It has forgotten all links when it starts again, as on a host whose /run/systemd was removed. */
export async function stopResolved(): Promise<void> {
  if (resolved === undefined) throw new Error('systemd-resolved was not started');
  const ended = once(resolved, 'exit');
  resolved.kill('SIGTERM');
  await ended;
  rmSync('/run/systemd/resolve/netif', { recursive: true, force: true });
}

/** Returns what it shows about a link, such as `DNS Servers: 192.168.100.1`. */
export async function linkStatus(link: string): Promise<string> {
  return (await execa('resolvectl', ['status', link], { reject: false })).stdout;
}
