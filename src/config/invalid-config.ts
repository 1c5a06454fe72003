// The error of a configuration that cannot be used.
import { VirlanError } from '../errors.ts';
import { type ConfigProblem, formatConfigProblem } from './config.ts';

/** A configuration that cannot be used. Its message has one line for each problem. */
export class InvalidConfig extends VirlanError {
  static override readonly label = 'InvalidConfig';

  readonly problems: readonly ConfigProblem[];
  /** The text of each problem. */
  readonly lines: readonly string[];

  constructor(path: string, problems: readonly ConfigProblem[], options?: { readonly cause: unknown }) {
    const lines = problems.map(problem => formatConfigProblem(path, problem));
    super('invalid-config', lines.join('\n'), options);
    this.problems = problems;
    this.lines = lines;
  }
}
