// The answer to `POST /reconcile`, which is one of these codes on a line. Pure.
import type { Answer } from './answers.ts';

/** Codes are added, never renamed: a command may be of another version than the watcher. */
const reconcileCodes = ['done', 'not-connected'] as const;

/** `not-connected`: the watcher acts when libvirt is connected. */
export type ReconcileCode = (typeof reconcileCodes)[number];

/** `no-answer`: no watcher runs, or it took too long. `unknown`: it failed, or is of another version. */
export type ReconcileResult = ReconcileCode | 'no-answer' | 'unknown';

/** Returns the body of an answer. */
export function formatReconcile(code: ReconcileCode): string {
  return `${code}\n`;
}

/** Reads the watcher's answer; null stands for none. */
export function parseReconcile(answer: Answer | null): ReconcileResult {
  if (answer === null) return 'no-answer';
  const known = answer.status === 200 ? reconcileCodes : [];
  return known.find(code => answer.body === formatReconcile(code)) ?? 'unknown';
}
