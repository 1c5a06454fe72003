// The machine id of a host (machine-id(5)).
import { readFileOrNull } from './files.ts';
import { paths } from './paths.ts';

/** Returns the host's machine id; empty where it has none. */
export function machineId(): string {
  return readFileOrNull(paths.machineId)?.trim() ?? '';
}
