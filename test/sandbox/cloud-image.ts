// A small bootable disk image that stands for a distribution's cloud image.
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { execa } from 'execa';
import { checkout } from './virlan.ts';

/** Debian's cloud kernel, unpacked by setup.sh. */
const kernel = `${checkout}/build/kernel`;

/** The kernel modules that the image needs, each after its dependencies. */
const modules = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci',
  'drivers/block/virtio_blk',
  'net/core/failover',
  'drivers/net/net_failover',
  'drivers/net/virtio_net',
  'drivers/cdrom/cdrom',
  'fs/isofs/isofs',
];

/**
 * Creates a disk image with a boot loader and cloud-init.sh as its init process, which reads a NoCloud seed.
 */
export async function makeCloudImage(path: string): Promise<void> {
  const root = '/tmp/image-root';
  const files = '/tmp/image-files';
  for (const directory of [`${root}/bin`, `${root}/modules`, `${files}/boot/grub`])
    mkdirSync(directory, { recursive: true });
  copyFileSync('/bin/busybox', `${root}/bin/busybox`);
  copyFileSync(`${checkout}/test/sandbox/cloud-init.sh`, `${root}/init`);
  copyFileSync(`${checkout}/test/sandbox/cloud-init-dhcp.sh`, `${root}/dhcp.sh`);
  await execa('chmod', ['+x', `${root}/init`, `${root}/dhcp.sh`]);
  const [release = ''] = readdirSync(`${kernel}/lib/modules`);
  for (const module of modules) {
    const file = `${kernel}/lib/modules/${release}/kernel/${module}.ko`;
    copyFileSync(file, `${root}/modules/${basename(file)}`);
  }
  writeFileSync(`${root}/modules/order`, modules.map(module => `${basename(module)}\n`).join(''));

  const names = await execa('find', ['.'], { cwd: root });
  const initrd = { file: `${files}/boot/initrd` };
  await execa('busybox', ['cpio', '-o', '-H', 'newc'], {
    cwd: root,
    input: `${names.stdout}\n`,
    stdout: initrd,
  });
  copyFileSync(`${kernel}/boot/vmlinuz-${release}`, `${files}/boot/vmlinuz`);
  writeFileSync(
    `${files}/boot/grub/grub.cfg`,
    'linux /boot/vmlinuz console=ttyS0 quiet panic=1\ninitrd /boot/initrd\nboot\n',
  );
  await execa('grub-mkrescue', ['--output', path, files]);
}
