// The result of a whole probe: for the watcher, and for `virlan status --json`.
import { isoSeconds } from '../../text.ts';
import type { Detail } from '../details.ts';
import type { CheckId, Finding } from '../finding.ts';
import { seen } from '../words/words.ts';

export type ProbeResult =
  /** `check`: the stage that failed. */
  | { readonly kind: 'failed'; readonly check: CheckId; readonly detail: Detail }
  | { readonly kind: 'not-sent'; readonly detail: Detail }
  | {
      readonly kind: 'passed';
      /** Null when the next hop answered; otherwise the finding with the reason why that is unknown. */
      readonly outside: Finding | null;
      /** The details of warnings. */
      readonly warnings: readonly Detail[];
    };

/** The result of the last probe of a network in `virlan status --json`. */
export interface ProbeStatus {
  readonly at: string;
  /** Null when the probe was not sent. */
  readonly passed: boolean | null;
  /** The stage that failed; null when none did. */
  readonly check: CheckId | null;
  /** The failure, or the reason why the probe was not sent; null when it passed. */
  readonly seen: string | null;
}

/** Reduces the findings of a probe's stages to one result. A stage that was skipped does not make it fail. */
export function resultOf(findings: readonly Finding[]): ProbeResult {
  const failure = findings.find(({ state }) => state === 'fail');
  if (failure !== undefined) return { kind: 'failed', check: failure.check, detail: failure.detail };
  const [first] = findings;
  if (first !== undefined && findings.every(({ state }) => state === 'skipped'))
    return { kind: 'not-sent', detail: first.detail };
  const outside = findings.find(({ check }) => check === 'probe-return') ?? null;
  const warnings = findings.filter(finding => finding.state === 'warn' && finding !== outside);
  return {
    kind: 'passed',
    outside: outside?.detail.kind === 'next-hop-answers' ? null : outside,
    warnings: warnings.map(({ detail }) => detail),
  };
}

/** Returns a result in the form of `virlan status --json`. */
export function probeStatus(result: ProbeResult, at: Date): ProbeStatus {
  switch (result.kind) {
    case 'passed':
      return { at: isoSeconds(at), passed: true, check: null, seen: null };
    case 'failed':
      return { at: isoSeconds(at), passed: false, check: result.check, seen: seen(result.detail) };
    case 'not-sent':
      return { at: isoSeconds(at), passed: null, check: null, seen: seen(result.detail) };
  }
}
