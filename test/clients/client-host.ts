// A private host with virlan, its watcher, and the programs of clients that fetch.sh has unpacked.
import { mkdirSync } from 'node:fs';
import { execa } from 'execa';
import { configure, installVirlan, startLibvirtd, virsh } from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { startWatcher } from '../sandbox/watcher.ts';

/** Starts libvirt, and virlan with its watcher. Resolves when the network k8s-br0 of libvirt is active. */
export async function startHost(virlanIni: string): Promise<void> {
  await addPrograms();
  // libvirt-daemon-system makes it.
  mkdirSync('/var/lib/libvirt/images', { recursive: true });
  await installVirlan();
  await configure(virlanIni);
  await startLibvirtd();
  await startWatcher();
  await networkIsActive();
}

/** Waits until libvirt lists a network as active. */
export async function networkIsActive(name = 'k8s-br0'): Promise<void> {
  await until(async () => (await virsh('net-list', '--name')).split('\n').includes(name), 60);
}

/** Puts the unpacked files over /usr. The directory with them is the first argument of a test file. */
export async function addPrograms(): Promise<void> {
  const unpacked = process.argv[2];
  if (unpacked === undefined) throw new Error('needs the directory of the unpacked packages');
  mkdirSync('/run/clients/upper', { recursive: true });
  mkdirSync('/run/clients/work');
  const layers = [
    `lowerdir=${unpacked}/usr:/usr`,
    'upperdir=/run/clients/upper',
    'workdir=/run/clients/work',
  ];
  await execa('mount', ['-t', 'overlay', '-o', layers.join(','), 'clients', '/usr']);
}
