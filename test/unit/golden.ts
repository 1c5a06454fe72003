// golden.ts: compares texts with the files of test/unit/golden.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Compares a text with test/unit/golden/NAME. With UPDATE_GOLDEN=1 it writes the file instead; review the
 * difference before you commit it.
 */
export function assertGolden(name: string, text: string): void {
  const path = `test/unit/golden/${name}`;
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, text);
  assert.equal(
    text,
    existsSync(path) ? readFileSync(path, 'utf8') : '',
    `${path}; to accept: UPDATE_GOLDEN=1`,
  );
}
