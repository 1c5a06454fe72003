// The screen of `virlan status --watch`: the lines that fit, problems first. Pure.
import type { Status } from '../report/status.ts';
import { forTerminal, isoSeconds } from '../text.ts';
import { version } from '../version.ts';
import { cut, wrap } from './layout.ts';
import {
  factLines,
  headerLine,
  machineLines,
  machineProblems,
  problemLine,
  watcherText,
} from './status-lines.ts';
import { style } from './terminal.ts';

/** A state of what is followed. */
export interface View {
  /** The last that was received; null before the first. */
  readonly status: Status | null;
  /** The reason why the status could not be read since then. Hostile. */
  readonly error: string | null;
  /** The time when the connection to the watcher was lost; null while there is one. */
  readonly awaySince: Date | null;
}

/** The size of a terminal. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Returns the lines of the screen: at most `rows`, each of at most `columns`. */
export function statusScreen(view: View, { columns, rows }: Size): string[] {
  const networks = view.status?.networks ?? [];
  // The line of a network, which names it, is further down.
  const problems = networks.flatMap(network => [
    ...network.problems.map(problem => `${network.name}: ${problem}`),
    ...machineProblems(network),
  ]);
  const notes = (view.status?.notes ?? []).map(forTerminal);
  const wrapped = (line: string) => wrap(line, 4, columns);
  const lines = [
    headerOf(view),
    ...[...(view.error === null ? [] : [view.error]), ...problems].map(problemLine).flatMap(wrapped),
    ...networks.flatMap(network => [
      '',
      ...factLines(network).flatMap(wrapped),
      ...machineLines(network, columns),
    ]),
    ...(notes.length === 0 ? [] : ['', ...notes.flatMap(wrapped)]),
  ];
  return fitted(lines, rows).map(line => cut(line, columns));
}

function headerOf({ status, awaySince }: View): string {
  const away = (since: Date) =>
    style(`the watcher is away: last seen ${isoSeconds(since).slice('2026-11-22T'.length)}`, 'yellow');
  const present = status === null ? 'watcher running' : watcherText(status.watcher);
  const header = headerLine(status?.virlan ?? version, awaySince === null ? present : away(awaySince));
  return `${header}  ${style('q: end', 'dim')}`;
}

/** Returns the first lines; where some are left out, the last one says how many. Empty ones do not count. */
function fitted(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines;
  const left = lines.slice(rows - 1).filter(line => line !== '').length;
  return [...lines.slice(0, rows - 1), style(`… and ${left} more lines`, 'dim')];
}
