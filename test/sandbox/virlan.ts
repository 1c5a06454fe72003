// The installed virlan: installation, configuration, command line.
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { execa } from 'execa';

/**
 * The checkout, at its real path but read-only. It is the directory that run.mjs enters the private host
 * from.
 */
export const checkout = process.cwd();

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The archive that installed.sh prints: the runner of the test files writes it beside the bundle of this one. */
const installed = `${dirname(process.argv[1] ?? '')}/installed.tar`;

/**
 * Installs dist/ and hooks/, which must have been built. Throws with the installer's output if it fails. The files are
 * those that install.sh has made on another private host, where it would make the same.
 */
export async function installVirlan(): Promise<void> {
  const [command, ...args] =
    existsSync(installed) && isUntouched()
      ? ['tar', '--extract', '--absolute-names', '--no-overwrite-dir', `--file=${installed}`]
      : ['sh', `${checkout}/install/install.sh`, '--no-packages', '--no-start'];
  await execa(command, args, { timeout: 60_000 });
}

/** Returns whether nothing is there that install.sh would replace, keep or tell. */
function isUntouched(): boolean {
  const isThere = ['/usr/lib/virlan', '/usr/sbin/virlan', '/etc/virlan', '/run/systemd/system'].some(
    existsSync,
  );
  return !isThere && readdirSync('/etc/libvirt/hooks').length === 0;
}

/**
 * Runs the installed virlan and returns its outcome, also if it fails. Throws after four minutes, which is
 * enough on an emulated host.
 */
export async function virlan(...args: string[]): Promise<Outcome> {
  const run = await execa('/usr/sbin/virlan', args, { reject: false, timeout: 240_000 });
  if (run.exitCode === undefined) throw new Error(`virlan ${args.join(' ')}: ${run.shortMessage}`);
  return { exitCode: run.exitCode, stdout: run.stdout, stderr: run.stderr };
}

/** Writes virlan.ini. */
export async function configure(text: string): Promise<void> {
  await mkdir('/etc/virlan', { recursive: true });
  await writeFile('/etc/virlan/virlan.ini', text);
}
