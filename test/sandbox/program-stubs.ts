// Shell scripts in place of programs of the private host.
import { chmodSync, cpSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { execaSync } from 'execa';

const originals = '/tmp/originals';

/** Puts a shell script in the place of a program of the system, which it can call as "$original". */
export function stubProgram(program: string, script: string): void {
  const path = ['/usr/sbin', '/usr/bin'].map(directory => `${directory}/${program}`).find(existsSync);
  if (path === undefined) throw new Error(`no ${program} on this host`);
  const original = `${originals}${path}`;
  // Programs that look at the name they are called by are links.
  cpSync(path, original, { verbatimSymlinks: true });
  rmSync(path);
  writeFileSync(path, `#!/bin/sh\noriginal=${original}\n${script}\n`);
  chmodSync(path, 0o755);
}

/** Takes the stand-ins away again. */
export function restorePrograms(): void {
  if (existsSync(originals)) execaSync('cp', ['-a', '--remove-destination', `${originals}/.`, '/']);
  rmSync(originals, { recursive: true, force: true });
}
