// traces.ts: reads the state of a machine in which virlan could leave traces.
import { createHash } from 'node:crypto';
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { execa } from 'execa';
import { virsh } from '../sandbox/libvirtd.ts';
import { kernelState, processes, type Snapshot } from '../sandbox/snapshot.ts';

/** Returns all state that an installation could change, in a form that is the same after a reboot. */
export async function traces(): Promise<Snapshot> {
  return [
    ...(await kernelState()).map(withoutVolatileFields),
    ...['/etc', '/usr', '/var', '/opt', '/srv', '/boot'].flatMap(filesIn),
    ...readdirSync('/run').map(name => `run ${name}`),
    ...(await networks()),
    ...(await systemctl('list-unit-files')).map(line => `unit ${line}`),
    ...(await systemctl('list-units', '--failed')).map(line => `failed ${line}`),
    ...processes('dnsmasq').map(({ command }) => `process ${command}`),
  ].sort();
}

/**
 * Removes values that change without virlan: counters of the kernel, the remaining lease time of the host's
 * own NIC, the ageing time of a bridge (shorter after a port came or went), and the offload limits of its
 * ports.
 */
function withoutVolatileFields(line: string) {
  return line.replace(
    /"(handle|ifindex|expires|valid_life_time|preferred_life_time|ageing_time|tso_max_size)":\d+,?/g,
    '',
  );
}

/** Directories that every host changes. */
const ignoredDirectories = /^\/var\/(log|tmp|cache)$|^\/var\/lib\/(systemd|private)$/;

function filesIn(directory: string): string[] {
  if (ignoredDirectories.test(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry =>
    describe(`${directory}/${entry.name}`, entry),
  );
}

function describe(path: string, entry: Dirent): string[] {
  const { mode, uid, gid, mtimeMs } = lstatSync(path);
  const line = `file ${path} ${mode.toString(8)} ${uid}:${gid}`;
  if (entry.isDirectory()) return [line, ...filesIn(path)];
  if (entry.isSymbolicLink()) return [`${line} → ${readlinkSync(path)}`];
  // An emulated processor would take long to hash their contents.
  if (path.startsWith('/usr/') || path.startsWith('/boot/')) return [`${line} ${mtimeMs}`];
  return [entry.isFile() ? `${line} ${createHash('sha256').update(readFileSync(path)).digest('hex')}` : line];
}

async function networks(): Promise<string[]> {
  const names = (await virsh('net-list', '--all', '--name')).split('\n').filter(name => name !== '');
  const described = await Promise.all(
    names.map(async name => [await virsh('net-info', name), await virsh('net-dumpxml', '--inactive', name)]),
  );
  return described.flat().flatMap(text => text.split('\n').map(line => `network ${line.trim()}`));
}

async function systemctl(...args: string[]): Promise<string[]> {
  const { stdout } = await execa('systemctl', [...args, '--no-legend', '--no-pager', '--plain']);
  return stdout.split('\n').map(line => line.replace(/ +/g, ' ').trim());
}
