// The operating system as a value. Code that decides receives it as an argument, so that tests can pass a
// model of a host.
import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { listDirectory, makeDirectory, readFileOrNull, removeFile, writeAtomically } from './files.ts';
import { isInstalled, leadsTo, type RunOptions, run } from './run.ts';

export interface System {
  /** Runs a program without a shell and returns its standard output. Throws CommandError. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<string>;
  /** Returns whether a program is on this host. */
  isInstalled(program: string): boolean;
  /** Returns the file that a program's name leads to, through links; null when it is not installed. */
  leadsTo(program: string): string | null;
  exists(path: string): boolean;
  /** Returns the text of a file, or null when it does not exist. */
  readFile(path: string): string | null;
  /** Returns the sorted names in a directory; none when it does not exist. */
  listDirectory(path: string): string[];
  /** Replaces a file atomically, its directory included. Keeps the mode of a file that exists. */
  writeFile(path: string, content: string): void;
  /** Removes a file, if it exists. Throws WriteError. */
  removeFile(path: string): void;
}

export const system: System = {
  run,
  isInstalled,
  leadsTo,
  exists: existsSync,
  readFile: readFileOrNull,
  listDirectory,
  writeFile(path, content) {
    makeDirectory(dirname(path));
    const mode = statSync(path, { throwIfNoEntry: false })?.mode;
    writeAtomically(path, content, mode === undefined ? 0o644 : mode & 0o777);
  },
  removeFile,
};
