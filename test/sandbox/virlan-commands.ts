// Commands of virlan with assertions on their outcome.
import assert from 'node:assert/strict';
import { type Outcome, virlan } from './virlan.ts';

/** A check of `virlan doctor --json`. */
export interface Check {
  readonly check: string;
  readonly state: string;
  readonly code: string;
  readonly seen: string;
  readonly fix: { readonly command: string; readonly mends: boolean } | null;
}

/** Asserts exit code 0 and an empty standard error. Returns standard output. */
export function succeeded({ exitCode, stdout, stderr }: Outcome): string {
  assert.equal(`${stderr}${exitCode}`, '0');
  return stdout;
}

/** Asserts exit code 1, no standard output, and one matching line on standard error. */
export function assertFailure({ exitCode, stdout, stderr }: Outcome, line: RegExp): void {
  assert.equal(stdout, '');
  assert.match(stderr, line);
  assert.deepEqual([exitCode, stderr.trim().split('\n').length], [1, 1]);
}

/** Returns the address that `virlan ip` prints for a machine. */
export async function ipOf(machine: string): Promise<string> {
  return succeeded(await virlan('ip', machine)).trim();
}

/** Runs `virlan up`, asserts that it succeeds without a warning, and returns its output. */
export async function up(): Promise<string> {
  return succeeded(await virlan('up'));
}

/** Runs `virlan down`, asserts that it succeeds without a warning, and returns its output. */
export async function down(...networks: string[]): Promise<string> {
  return succeeded(await virlan('down', ...networks));
}

/**
 * Returns the steps of `virlan plan` and the detail lines below them, with runs of spaces replaced by one.
 * Asserts the exit code that belongs to them.
 */
export async function plan(): Promise<{ steps: string[]; details: string[] }> {
  const { exitCode, stdout, stderr } = await virlan('plan');
  const indented = (by: RegExp) =>
    stdout
      .split('\n')
      .filter(line => by.test(line))
      .map(line => line.trim().replace(/ {2,}/g, ' '));
  const steps = indented(/^ {2}\S/);
  assert.equal(`${stderr}${exitCode}`, steps.length === 0 ? '0' : '3');
  return { steps, details: indented(/^ {3}/) };
}

/** Returns the steps of `virlan plan`. */
export async function plannedSteps(): Promise<string[]> {
  return (await plan()).steps;
}
