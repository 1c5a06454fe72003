// The answers of the members of etcd to the doctor. Pure.
import { type EtcdError, type EtcdFailure, isAboutTime } from './etcd-error.ts';

/** The answer of a member. */
export type MemberAnswer =
  /** It reads and writes. `writeMs`: the time that a write takes. */
  | { readonly kind: 'serves'; readonly writeMs: number }
  /** It answers, but there are too few other members for it to read or write. */
  | { readonly kind: 'no-quorum' }
  | {
      readonly kind: 'failed';
      readonly reason: EtcdFailure;
      readonly message: string;
      /** True if a certificate is not valid at the time that this host has. */
      readonly isAboutTime: boolean;
    };

/** A member, and its answer. */
export interface MemberReport {
  /** Its URL. */
  readonly endpoint: string;
  readonly answer: MemberAnswer;
  /**
   * The time by which its clock is ahead of this host's, to a second or half of the time of an answer; null where it is
   * not known.
   */
  readonly aheadMs: number | null;
}

/** Returns what a failed call means. `canServe`: the member's own opinion. */
export function answerOf(error: EtcdError, canServe: boolean): MemberAnswer {
  const { reason, message } = error;
  if (reason === 'unreachable' && !canServe) return { kind: 'no-quorum' };
  return { kind: 'failed', reason, message, isAboutTime: isAboutTime(error) };
}

/**
 * Returns how far a clock is ahead of this host's. It was read at some time between `began` and `ended`, and is
 * in whole seconds.
 */
export function aheadOf(clock: Date, began: Date, ended: Date): number {
  const halfSecondMs = 500;
  return clock.getTime() + halfSecondMs - (began.getTime() + ended.getTime()) / 2;
}
