// Initial RAM disks of small guests: Debian's cloud kernel, busybox, and a script as the init process.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { execa } from 'execa';
import { checkout } from './virlan.ts';

/** Debian's cloud kernel, unpacked by setup.sh. */
const unpacked = `${checkout}/build/kernel`;

function release(): string {
  const [version = ''] = readdirSync(`${unpacked}/lib/modules`);
  return version;
}

/** Returns the path of the kernel that the initial RAM disks are for. */
export function guestKernel(): string {
  return `${unpacked}/boot/vmlinuz-${release()}`;
}

/** The kernel modules that a guest's network needs, each after its dependencies. */
export const networkModules = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci',
  'net/core/failover',
  'drivers/net/net_failover',
  'drivers/net/virtio_net',
];

export interface Initramfs {
  /** Path in the guest → file of the host. The init process is `/init`. */
  readonly files: Readonly<Record<string, string>>;
  /** They are in /modules, and /modules/order has one file name a line. */
  readonly modules: readonly string[];
}

/** Creates an initial RAM disk with busybox in /bin. */
export async function makeInitramfs(path: string, { files, modules }: Initramfs): Promise<void> {
  const root = mkdtempSync('/tmp/initramfs-');
  const add = (target: string, source: string) => {
    mkdirSync(dirname(`${root}${target}`), { recursive: true });
    cpSync(source, `${root}${target}`, { dereference: true });
  };
  add('/bin/busybox', '/bin/busybox');
  for (const [target, source] of Object.entries(files)) add(target, source);
  for (const module of modules) {
    const file = `${unpacked}/lib/modules/${release()}/kernel/${module}.ko`;
    add(`/modules/${basename(file)}`, file);
  }
  writeFileSync(`${root}/modules/order`, modules.map(module => `${basename(module)}\n`).join(''));
  await execa('chmod', ['-R', '755', root]);
  const names = await execa('find', ['.'], { cwd: root });
  await execa('busybox', ['cpio', '-o', '-H', 'newc'], {
    cwd: root,
    input: `${names.stdout}\n`,
    stdout: { file: path },
  });
  rmSync(root, { recursive: true });
}
