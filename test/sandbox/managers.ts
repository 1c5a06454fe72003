// Managers of links on the private host: NetworkManager and systemd-networkd.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, rmSync } from 'node:fs';
import { execa } from 'execa';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

const running: ChildProcess[] = [];

/** Starts a program in a mount namespace whose /sys is read-only, so that it does not wait for udev. */
export function startWithoutUdev(...command: string[]): void {
  const script = 'mount -o remount,ro /sys && exec "$@"';
  running.push(
    spawn('unshare', ['--mount', 'sh', '-c', script, '-', ...command], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
}

/** Kills the managers that were started. */
export async function endManagers(): Promise<void> {
  for (const each of running.splice(0)) {
    const ended = once(each, 'exit');
    each.kill('SIGKILL');
    await ended;
  }
}

/** Copies what test/setup.sh has unpacked: virlan knows the process by the path of its program. */
export async function installNetworkManager(): Promise<void> {
  const unpacked = `${checkout}/build/network-manager`;
  for (const directory of ['bin', 'sbin', 'lib'])
    await execa('cp', ['-rsf', `${unpacked}/usr/${directory}/.`, `/usr/${directory}/`]);
  for (const directory of ['usr/share/dbus-1', 'etc/dbus-1'])
    if (existsSync(`${unpacked}/${directory}`))
      await execa('cp', ['-a', `${unpacked}/${directory}/.`, `/${directory}/`]);
  rmSync('/usr/sbin/NetworkManager');
  cpSync(`${unpacked}/usr/sbin/NetworkManager`, '/usr/sbin/NetworkManager');
  await execa('ldconfig');
  // The bus reads the new policies.
  await execa('busctl', ['call', 'org.freedesktop.DBus', '/', 'org.freedesktop.DBus', 'ReloadConfig']);
}

/** Starts NetworkManager. Resolves when it answers. */
export async function startNetworkManager(): Promise<void> {
  startWithoutUdev('/usr/sbin/NetworkManager', '--no-daemon');
  await until(async () => (await execa('nmcli', ['general'], { reject: false })).exitCode === 0, 20);
}
