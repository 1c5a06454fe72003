// XDR: known bytes, values that cannot be represented, and a property over all types.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import {
  array,
  type Codec,
  decode,
  encode,
  int,
  nothing,
  optional,
  string,
  struct,
  uhyper,
  uint,
  uuid,
} from '../src/codec.ts';
import { XdrError } from '../src/errors.ts';
import { bytes } from './peer.ts';

const test = suite('node-libvirt xdr');

/** Tests a value and its bytes by RFC 4506; too few or too many bytes must be an error. */
function sample<T>(name: string, codec: Codec<T>, value: T, wire: string): void {
  test(`xdr: ${name}`, () => {
    const expected = bytes(wire);
    assert.deepEqual(encode(codec, value), expected);
    assert.deepEqual(decode(codec, expected), value);
    for (let length = 0; length < expected.length; length++) {
      assert.throws(() => decode(codec, expected.subarray(0, length)), XdrError);
    }
    assert.throws(() => decode(codec, Buffer.concat([expected, Buffer.alloc(4)])), XdrError);
  });
}

sample('int', int, 42, '0000002a');
sample('negative int', int, -1, 'ffffffff');
sample('least int', int, -0x80000000, '80000000');
sample('unsigned int', uint, 0xffffffff, 'ffffffff');
sample('unsigned hyper', uhyper, 9_000_000n, '0000000000895440');
sample('greatest unsigned hyper', uhyper, 2n ** 64n - 1n, 'ffffffffffffffff');
sample('empty string', string, '', '00000000');
sample('string that needs padding', string, 'qemu:///system', '0000000e 71656d753a2f2f2f73797374656d 0000');
sample('string that needs none', string, 'vm01', '00000004 766d3031');
sample('string beyond ASCII, counted in bytes', string, 'é€😀', '00000009 c3a9e282acf09f9880 000000');
sample('UUID', uuid, '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ab', '6e1b0f4e3f5d4e8a9d6c0123456789ab');
sample('pointer that is NULL', optional(int), null, '00000000');
sample('pointer', optional(int), 7, '00000001 00000007');
sample('empty array', array(int, 3), [], '00000000');
sample('array', array(int, 3), [1, 2], '00000002 00000001 00000002');
sample('struct', struct({ a: int, b: string }), { a: 1, b: 'x' }, '00000001 00000001 78000000');
sample('nothing', nothing, null, '');

test('xdr: what cannot be written is refused', () => {
  function refused<T>(codec: Codec<T>, ...values: T[]): void {
    for (const value of values) assert.throws(() => encode(codec, value), XdrError, String(value));
  }
  refused(int, 0x80000000, -0x80000001, 1.5, Number.NaN);
  refused(uint, -1, 0x100000000);
  refused(uhyper, -1n, 2n ** 64n);
  refused(string, 'a\0b', 'a'.repeat(4194305), 'é'.repeat(2097153));
  refused(uuid, '', '6e1b0f4e3f5d4e8a9d6c0123456789ab', '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ax');
  refused(array(int, 1), [1, 2]);
});

test('xdr: what cannot be read is refused', () => {
  function refused<T>(codec: Codec<T>, wire: string): void {
    assert.throws(() => decode(codec, bytes(wire)), XdrError);
  }
  refused(optional(int), '00000002 00000000');
  refused(string, '00400001'); // one byte above REMOTE_STRING_MAX
  refused(string, 'ffffffff 00000000');
  refused(array(int, 1), '00000002 00000000 00000000');
  refused(array(nothing, 16384), 'ffffffff');
});

test('xdr: text that is not UTF-8 is replaced, padding that is not zero is passed over', () => {
  assert.equal(decode(string, bytes('00000002 c328 ffff')), '\ufffd(');
});

test('xdr: any value comes back as it went in', () => {
  const plain = { noNullPrototype: true };
  const pair = fc.record({ a: fc.integer({ min: 0, max: 9 }), b: fc.option(fc.uuid()) }, plain);
  const value = fc.record(
    {
      int: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
      uint: fc.integer({ min: 0, max: 0xffffffff }),
      uhyper: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      text: fc.string({ unit: 'binary' }).map(text => text.replaceAll('\0', '')),
      uuid: fc.uuid(),
      maybe: fc.option(fc.string({ unit: 'grapheme' })),
      list: fc.array(pair, { maxLength: 16 }),
    },
    plain,
  );
  const codec = struct({
    int,
    uint,
    uhyper,
    text: string,
    uuid,
    maybe: optional(string),
    list: array(struct({ a: int, b: optional(uuid) }), 16),
  });
  fc.assert(
    fc.property(value, value => {
      const wire = encode(codec, value);
      assert.equal(wire.length % 4, 0);
      assert.deepEqual(decode(codec, wire), value);
    }),
    { numRuns: 1_000 },
  );
});

test.run();
