// A guest that boots from memory in seconds and runs an SSH server, dropbear, for the user vagrant.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { makeInitramfs, networkModules } from '../sandbox/initramfs.ts';
import { checkout } from '../sandbox/virlan.ts';

/** Creates the guest's initial RAM disk. Whoever has the key that belongs to the public one gets in. */
export async function makeSshGuest(path: string, publicKey: string): Promise<void> {
  const made = mkdtempSync('/tmp/ssh-guest-');
  writeFileSync(`${made}/passwd`, 'root:x:0:0::/:/bin/sh\nvagrant:x:0:0::/home/vagrant:/bin/sh\n');
  writeFileSync(`${made}/group`, 'root:x:0:\n');
  const key = ['-t', 'ed25519', '-f', `${made}/key`];
  await execa('dropbearkey', key);
  const dropbear = '/usr/sbin/dropbear';
  const libraries = (await execa('ldd', [dropbear])).stdout.match(/\/\S+/g) ?? [];
  await makeInitramfs(path, {
    files: {
      '/init': `${checkout}/test/clients/ssh-guest.sh`,
      '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh`,
      '/bin/dropbear': dropbear,
      ...Object.fromEntries(libraries.map(library => [library, library])),
      '/etc/passwd': `${made}/passwd`,
      '/etc/group': `${made}/group`,
      '/etc/dropbear/key': `${made}/key`,
      '/home/vagrant/.ssh/authorized_keys': publicKey,
    },
    modules: networkModules,
  });
}
