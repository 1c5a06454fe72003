// A small bootable disk image that stands for a distribution's cloud image.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { guestKernel, makeInitramfs, networkModules } from '../sandbox/initramfs.ts';
import { checkout } from '../sandbox/virlan.ts';

/** The modules that read the NoCloud seed, each after its dependencies. */
const seedModules = ['drivers/block/virtio_blk', 'drivers/cdrom/cdrom', 'fs/isofs/isofs'];

/**
 * Creates a disk image with a boot loader and cloud-init.sh as its init process, which reads a NoCloud seed.
 */
export async function makeCloudImage(path: string): Promise<void> {
  const files = '/tmp/image-files';
  mkdirSync(`${files}/boot/grub`, { recursive: true });
  await makeInitramfs(`${files}/boot/initrd`, {
    files: {
      '/init': `${checkout}/test/clients/cloud-init.sh`,
      '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh`,
    },
    modules: [...networkModules, ...seedModules],
  });
  copyFileSync(guestKernel(), `${files}/boot/vmlinuz`);
  writeFileSync(
    `${files}/boot/grub/grub.cfg`,
    'linux /boot/vmlinuz console=ttyS0 quiet panic=1\ninitrd /boot/initrd\nboot\n',
  );
  await execa('grub-mkrescue', ['--output', path, files]);
}
