// The history of a machine or a network, from virlan's log: one line of JSON for each event. Pure.

/** An event in the log. Its text may be hostile. */
export interface HistoryEntry {
  readonly time: string;
  readonly level: 'info' | 'warning' | 'error';
  readonly text: string;
  readonly details: readonly string[];
}

/** Most entries of a history. */
const maxEntries = 100;

interface LogLine {
  readonly level: number;
  readonly time: string;
  readonly code: string;
  readonly msg: string;
  readonly uuid?: string;
  readonly network?: string;
  readonly ip?: string | null;
  readonly mac?: string;
  readonly macs?: readonly string[];
  readonly was?: readonly string[];
  readonly missing?: readonly string[];
}

/** Events of a network that its machines share, and that are worth a line in the history of each. */
const sharedCodes = new Set(['network-repaired', 'network-failed', 'step-failed']);

/** Returns the history of a machine, the newest first: its own events, and repairs of its network. */
export function historyOf(log: string, uuid: string, network: string): HistoryEntry[] {
  return log
    .split('\n')
    .flatMap(text => parseLine(text))
    .filter(line => line.uuid === uuid || (line.network === network && sharedCodes.has(line.code)))
    .slice(-maxEntries)
    .reverse()
    .map(({ time, level, msg, ...line }) => ({
      time: time.replace(/\.\d+Z$/, 'Z'),
      level: level >= 50 ? 'error' : level >= 40 ? 'warning' : 'info',
      text: msg,
      details: detailsOf(line),
    }));
}

/** A log may begin within a line, and other programs may have written to it. */
function parseLine(text: string): LogLine[] {
  try {
    const line = JSON.parse(text);
    const isLine = ['time', 'code', 'msg'].every(field => typeof line?.[field] === 'string');
    return isLine && typeof line.level === 'number' ? [line] : [];
  } catch {
    return [];
  }
}

function detailsOf({ ip, mac, macs, was, missing }: Partial<LogLine>): string[] {
  return [
    ...(typeof ip === 'string' ? [ip] : []),
    ...(typeof mac === 'string' ? [mac] : []),
    ...listOf(macs),
    ...listOf(was).map(each => `was ${each}`),
    ...listOf(missing),
  ];
}

function listOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : [];
}
