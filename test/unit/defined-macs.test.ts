// The MACs of definitions: who else has one.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { DefinedMacs } from '../../src/watcher/machines/defined-macs.ts';
import { mac, uuid } from './builders.ts';

const test = suite('defined MACs');

test('a MAC is held by each definition that has it, and by none after the last one', () => {
  const macs = new DefinedMacs();
  macs.set(uuid(1), new Set([mac(1)]));
  macs.set(uuid(2), new Set([mac(1), mac(2)]));
  assert.equal(macs.isElsewhere(mac(1), uuid(1)), true);
  assert.equal(macs.isElsewhere(mac(2), uuid(2)), false);
  assert.equal(macs.isElsewhere(mac(2), null), true);

  macs.set(uuid(2), new Set([mac(3)]));
  assert.equal(macs.isElsewhere(mac(1), uuid(1)), false);
  assert.equal(macs.isElsewhere(mac(2), null), false);
  assert.equal(macs.isElsewhere(mac(3), uuid(1)), true);

  macs.set(uuid(1), new Set());
  assert.equal(macs.isElsewhere(mac(1), null), false);
});

test.run();
