import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { kvmMac } from '../../src/address/mac.ts';
import { formulaMac } from '../../src/identity/formula.ts';

const formula = suite('formula');

formula('a MAC that is taken gives way to the next attempt', () => {
  const key = { network: 'k8s-br0', machine: 'web', nic: 0 };
  const first = formulaMac(key, () => false);
  const second = formulaMac(key, mac => mac === first);
  assert.notEqual(second, first);
  assert.equal(kvmMac(Buffer.from([1, 2, 255])), '52:54:00:01:02:ff');
});

formula.run();
