// Separates what a program answered from failures that say nothing about what it was asked.
import { CommandError } from './errors.ts';

/**
 * Matches a shortage as programs print it: EMFILE, ENFILE, ENOMEM, ENOBUFS and EAGAIN (strerror of glibc and of musl in
 * the locale C), and ENOMEM of libiptc.
 */
const shortage =
  /too many open files|no file descriptors available|(cannot allocate|out of) memory|memory allocation problem|no buffer space available|resource temporarily unavailable/i;

/**
 * Returns whether a program failed by its own decision, or is not installed: what it was asked for is not there then.
 * Nothing is known after one that could not be started, was killed, took too long, or lacked memory or descriptors.
 */
export function isAnswer(error: unknown): error is CommandError {
  if (!(error instanceof CommandError)) return false;
  return error.reason === 'missing' || (error.reason === 'failed' && !shortage.test(error.stderr));
}

/** Matches EBUSY and EINTR as nft and iptables print them (strerror of glibc and of musl, in the locale C). */
const passing = /resource busy|interrupted system call/i;

/** Returns whether a program failed because others were at work in the kernel: the same may succeed later. */
export function isPassing({ stderr }: CommandError): boolean {
  return passing.test(stderr);
}
