// Shell scripts in place of programs of the private host.
import { chmodSync, cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { execaSync } from 'execa';

/** The directory where replaced programs are kept. */
const originals = '/tmp/originals';

/** Replaces a program of the system by a shell script, which can call the program as "$original". */
export function stubProgram(program: string, script: string): void {
  const path = ['/usr/sbin', '/usr/bin'].map(directory => `${directory}/${program}`).find(existsSync);
  if (path === undefined) throw new Error(`no ${program} on this host`);
  const original = `${originals}${path}`;
  // Programs that depend on the name they are called by are symbolic links.
  cpSync(path, original, { verbatimSymlinks: true });
  rmSync(path);
  writeFileSync(path, `#!/bin/sh\noriginal=${original}\n${script}\n`);
  chmodSync(path, 0o755);
}

/** Restores all replaced programs. */
export function restorePrograms(): void {
  if (existsSync(originals)) execaSync('cp', ['-a', '--remove-destination', `${originals}/.`, '/']);
  rmSync(originals, { recursive: true, force: true });
}
