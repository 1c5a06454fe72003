import { chmodSync, cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { execa, execaSync } from 'execa';
import { processes } from './snapshot.ts';

const originals = '/tmp/originals';

/** Puts a shell script in the place of a program of the system, which it can call as "$original". */
export function standIn(program: string, script: string): void {
  const path = ['/usr/sbin', '/usr/bin'].map(directory => `${directory}/${program}`).find(existsSync);
  if (path === undefined) throw new Error(`no ${program} on this host`);
  const original = `${originals}${path}`;
  // Programs that look at the name they are called by are links.
  cpSync(path, original, { verbatimSymlinks: true });
  rmSync(path);
  writeFileSync(path, `#!/bin/sh\noriginal=${original}\n${script}\n`);
  chmodSync(path, 0o755);
}

/** Takes the stand-ins away again. */
export function noStandIns(): void {
  if (existsSync(originals)) execaSync('cp', ['-a', '--remove-destination', `${originals}/.`, '/']);
  rmSync(originals, { recursive: true, force: true });
}

/** Makes the private host bare again, whatever a test or virlan left on it: what is installed stays. */
export async function bareHost(): Promise<void> {
  noStandIns();
  for (const { pid } of processes('dnsmasq')) process.kill(pid, 'SIGKILL');
  const links = readdirSync('/sys/class/net').filter(link => link !== 'lo');
  // One of a pair takes the other with it.
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
