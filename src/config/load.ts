import { isMissing, readFileOrNull } from '../system/files.ts';
import { paths } from '../system/paths.ts';
import { type Config, formatConfigProblem } from './config.ts';
import { parseConfig } from './parse.ts';

/** A configuration that cannot be used. Its message has a line for each thing that is wrong. */
export class InvalidConfig extends Error {
  override readonly name = 'InvalidConfig';
}

/** The configuration; the default one when there is no file at the usual place. Throws InvalidConfig. */
export function loadConfig(path: string = paths.config): Config {
  const result = parseConfig(readConfig(path));
  if (result.ok) return result.config;
  throw new InvalidConfig(result.problems.map(problem => formatConfigProblem(path, problem)).join('\n'));
}

function readConfig(path: string): string {
  try {
    const text = readFileOrNull(path);
    if (text !== null) return text;
  } catch (error) {
    if (!isMissing(error)) throw new InvalidConfig(`${path}: cannot be read: ${(error as Error).message}`);
  }
  if (path === paths.config) return '';
  throw new InvalidConfig(`${path}: is not there: name an existing file with --config`);
}
