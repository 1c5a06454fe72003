// FRR on hosts of a cluster, started as its package does it: by watchfrr, which starts daemons again that end.
import { existsSync } from 'node:fs';
import { execa } from 'execa';
import type { ClusterHost } from './cluster-hosts.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';

/** The directory where test/cluster/run.sh has unpacked its packages. */
const unpacked = `${checkout}/build/frr`;

/** The administrator's file, which FRR reads when it starts. */
export const frrConfig = '/etc/frr/frr.conf';

/** Installs FRR in the private host without starting it. Its files in /etc/frr are each host's own. */
export async function installFrr(): Promise<void> {
  for (const directory of ['bin', 'sbin', 'lib', 'share'])
    if (existsSync(`${unpacked}/usr/${directory}`))
      await execa('cp', ['-rsf', `${unpacked}/usr/${directory}/.`, `/usr/${directory}/`]);
  await execa('cp', [`${unpacked}/etc/pam.d/frr`, '/etc/pam.d/']);
  await execa('ldconfig');
  // As the package's preinst does it.
  for (const group of ['frr', 'frrvty']) await execa('groupadd', ['--system', group]);
  const home = ['--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin'];
  await execa('useradd', ['--system', '--gid', 'frr', '--groups', 'frrvty', ...home, 'frr']);
  await execa('mkdir', ['-p', '/etc/frr']);
}

/** Gives a host files of its own in /etc/frr: those of the package, in which bgpd is off. */
export async function prepareFrr(host: ClusterHost): Promise<void> {
  await host.run('mount', '-t', 'tmpfs', 'frr', '/etc/frr');
  await host.run('cp', '-a', `${unpacked}/etc/frr/.`, '/etc/frr/');
  await writeFrrConfig(host, '');
}

/** Replaces the administrator's configuration. */
export async function writeFrrConfig(host: ClusterHost, text: string): Promise<void> {
  await host.write(frrConfig, text);
  await host.run('chown', '-R', 'frr:frr', '/etc/frr');
}

/** Switches bgpd on for the next start. */
export async function enableBgpd(host: ClusterHost): Promise<void> {
  await host.run('sed', '-i', 's/^bgpd=no/bgpd=yes/', '/etc/frr/daemons');
}

/** Starts FRR, or starts it again. Resolves once its daemons have read their configuration. */
export async function startFrr(host: ClusterHost, verb: 'start' | 'restart' = 'start'): Promise<void> {
  // The daemons keep the script's output open.
  await host.run('sh', '-c', `/usr/lib/frr/frrinit.sh ${verb} > /run/frrinit.log 2>&1`);
  const daemons = await host.run('sed', '-n', 's/=yes$//p', '/etc/frr/daemons');
  const daemon = daemons.split('\n').includes('bgpd') ? 'bgpd' : 'zebra';
  await until(async () => {
    const reading = ['sh', '-c', 'pgrep -x vtysh || vtysh -d "$0" -c "show running-config"', daemon] as const;
    return /^Current configuration/m.test(await host.run(...reading).catch(() => ''));
  }, 20);
}

/** Returns the configuration that runs in bgpd. */
export function runningConfig(host: ClusterHost): Promise<string> {
  return host.run('vtysh', '-d', 'bgpd', '-c', 'show running-config');
}
