import { mkdir, writeFile } from 'node:fs/promises';
import { execa } from 'execa';

/** The project, at its real path but read-only. run.mjs enters the private host from there. */
export const checkout = process.cwd();

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Installs what is in dist/ and hooks/, so the project must have been built. Throws with the installer's output. */
export async function installVirlan(): Promise<void> {
  await execa('sh', [`${checkout}/install/install.sh`, '--no-packages', '--no-start'], { timeout: 60_000 });
}

/** Runs the installed virlan, for as long as an emulated host needs at most. A failure is an outcome, too. */
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
