// Returns the private host to its state before a test.
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { restorePrograms } from './program-stubs.ts';
import { processes } from './snapshot.ts';

/** Kills each dnsmasq. Of libvirt's two, one ends when the other does. */
export function killDnsmasq(): void {
  for (const { pid } of processes('dnsmasq'))
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
}

/** Removes networks, rules and state that a test or virlan left on the private host. Installed files stay. */
export async function resetHost(): Promise<void> {
  restorePrograms();
  killDnsmasq();
  const links = readdirSync('/sys/class/net').filter(link => link !== 'lo');
  // Deleting one end of a veth pair deletes the other too, so later deletions may fail.
  for (const link of links) await execa('ip', ['link', 'delete', link], { reject: false });
  await execa('ip', ['route', 'flush', 'type', 'blackhole']);
  await execa('nft', ['flush', 'ruleset']);
  for (const path of [
    '/etc/virlan/virlan.ini',
    '/etc/virlan/dnsmasq.d/k8s-br0',
    '/etc/sysctl.d/60-virlan.conf',
    '/var/lib/virlan',
    '/var/lib/dnsmasq',
    '/run/virlan',
    '/run/dnsmasq',
    '/run/libvirt',
    '/var/lib/libvirt/dnsmasq/k8s-br0.macs',
    '/var/lib/libvirt/dnsmasq/k8s-br0.status',
    '/var/lib/libvirt/dnsmasq/lab.macs',
    '/var/lib/libvirt/dnsmasq/lab.status',
  ]) {
    rmSync(path, { recursive: true, force: true });
  }
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
}
