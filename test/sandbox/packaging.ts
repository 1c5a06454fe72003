// Builds virlan's packages in a private host, and installs and removes them there.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { checkout, virlan } from './host.ts';
import { processes } from './snapshot.ts';

export const ini = '/etc/virlan/virlan.ini';
export const hooks = ['daemon', 'qemu', 'network'].map(driver => `/etc/libvirt/hooks/${driver}`);
export const machine = {
  name: 'web',
  uuid: '00000000-0000-4000-8000-00000000000a',
  nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0a' }],
};

/** Runs a program and returns its output. Throws with the output if it fails or takes longer than a minute. */
export async function output(program: string, ...args: string[]): Promise<string> {
  return (await execa(program, args, { timeout: 60_000, all: true, env: { TMPDIR: '/tmp' } })).all;
}

/**
 * Runs dpkg without dependencies (node need not be a package here), with documents (containers exclude them),
 * and without triggers (man-db's takes most of the time).
 */
export function dpkg(...args: string[]): Promise<string> {
  return output(
    'dpkg',
    '--force-depends',
    '--force-confdef',
    '--path-include=/usr/share/*',
    '--no-triggers',
    ...args,
  );
}

/** Runs rpm on a database of its own, without dependencies. */
export function rpmWithoutDependencies(...args: string[]): Promise<string> {
  return output('rpm', '--dbpath', '/tmp/rpmdb', '--nodeps', ...args);
}

/** Runs build.sh and returns the paths of what it has built: for each package the .deb, then the .rpm. */
export async function buildPackages(directory: string, ...args: string[]): Promise<string[]> {
  const script = `${checkout}/install/package/build.sh`;
  const { stdout } = await execa('sh', [script, '--directory', directory, ...args], {
    timeout: 600_000,
    env: { TMPDIR: '/tmp' },
  });
  return stdout.split('\n');
}

/** Throws with what lintian and rpmlint find. */
export async function lint(packages: readonly string[]): Promise<void> {
  const { exitCode, all } = await execa('sh', [`${checkout}/install/package/lint.sh`, ...packages], {
    reject: false,
    all: true,
    timeout: 300_000,
  });
  assert.equal(exitCode, 0, all);
}

/** Throws if a file that is built again differs. */
export function assertSameFiles(paths: readonly string[], again: readonly string[]): void {
  assert.equal(again.length, paths.length);
  for (const [index, path] of paths.entries())
    assert(readFileSync(path).equals(readFileSync(again[index] ?? '')), path);
}

export async function isUp(): Promise<boolean> {
  const { stdout, stderr } = await virlan('status', '--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout).networks[0].up;
}

export function dnsmasqPids(): number[] {
  return processes('dnsmasq').map(({ pid }) => pid);
}

export function bridgeIndex(): string {
  return readFileSync('/sys/class/net/k8s-br0/ifindex', 'utf8');
}

/** Returns the paths with virlan in their name, without those of tests, logs and the package database. */
export async function remainingPaths(): Promise<string[]> {
  const found = await output('find', '/etc', '/run', '/usr', '/var', '-xdev', '-name', '*virlan*');
  return found
    .split('\n')
    .filter(path => path !== '' && !/virlan-test|^\/var\/(lib\/dpkg|log|tmp)\//.test(path));
}

export function assertDown(): void {
  assert(!existsSync('/sys/class/net/k8s-br0'));
  assert.deepEqual(dnsmasqPids(), []);
  assert.deepEqual(hooks.filter(existsSync), []);
}
