// The installed virlan: installation, configuration, command line.
import { mkdir, writeFile } from 'node:fs/promises';
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

/** Installs dist/ and hooks/, which must have been built. Throws with the installer's output if it fails. */
export async function installVirlan(): Promise<void> {
  await execa('sh', [`${checkout}/install/install.sh`, '--no-packages', '--no-start'], { timeout: 60_000 });
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
