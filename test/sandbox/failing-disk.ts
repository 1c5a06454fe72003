// Directories whose disk fails: each write, fsync or rename there, or all that would change it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { checkout } from './virlan.ts';

/** An operation that fails with EIO, as on a disk that breaks, or EROFS for all changes, as after that. */
export const diskFaults = ['write EIO', 'fsync EIO', 'rename EIO', 'EROFS'] as const;

export type DiskFault = (typeof diskFaults)[number];

/** Returns the error code of a fault. */
export function codeOf(fault: DiskFault): string {
  return fault.split(' ').at(-1) ?? '';
}

/** Runs work while a directory has a fault, and asserts that it really has. What is written there stays there. */
export async function withFault(
  directory: string,
  fault: DiskFault,
  work: () => Promise<void>,
): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const repair = await (fault === 'EROFS' ? mountReadOnly(directory) : mountFaulty(directory, fault));
  try {
    assert.throws(() => replaceFile(join(directory, 'test')), { code: codeOf(fault) });
    await work();
  } finally {
    await repair();
  }
}

function replaceFile(path: string): void {
  try {
    writeFileSync(`${path}.new`, 'text', { flush: true });
    renameSync(`${path}.new`, path);
  } finally {
    rmSync(`${path}.new`, { force: true });
  }
}

async function mountReadOnly(directory: string): Promise<() => Promise<void>> {
  await execa('mount', ['--bind', directory, directory]);
  await execa('mount', ['-o', 'remount,ro,bind', directory]);
  return async () => {
    await execa('umount', ['--lazy', directory]);
  };
}

async function mountFaulty(directory: string, fault: DiskFault): Promise<() => Promise<void>> {
  const place = mkdtempSync('/tmp/faulty-');
  const [source, faults] = [join(place, 'source'), join(place, 'faults')];
  mkdirSync(source);
  writeFileSync(faults, `${fault}\n`);
  await execa('mount', ['--bind', directory, source]);
  const agent = `${checkout}/test/sandbox/faulty-fs.py`;
  const server = spawn('python3', [agent, source, directory, faults], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(server, 'exit');
  const [ready] = await Promise.race([once(server.stdout, 'data'), ended]);
  assert.equal(String(ready), 'ready\n');
  return async () => {
    await execa('umount', ['--lazy', directory]);
    server.kill();
    await ended;
    await execa('umount', ['--lazy', source]);
    rmSync(place, { recursive: true });
  };
}

/** Returns the temporaries that are left in directories and below them. */
export async function temporariesIn(directories: readonly string[]): Promise<string[]> {
  const { stdout } = await execa('find', [...directories, '-name', '*.tmp'], { reject: false });
  return stdout.split('\n').filter(path => path !== '');
}
