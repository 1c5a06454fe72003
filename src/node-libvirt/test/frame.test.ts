// Frames: known bytes, and streams cut at every place.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { encode } from '../src/codec.ts';
import { FrameError } from '../src/errors.ts';
import { encodeFrame, type FrameHeader, FrameReader } from '../src/frame.ts';
import { type ArgsOf, type ProcedureName, procedureOf } from '../src/procedures.ts';
import { bytes } from './peer.ts';

const test = suite('node-libvirt frame');

const header = { program: 0x20008086, version: 1, procedure: 66, type: 0, serial: 1, status: 0 };

/** Tests a call against the bytes that libvirtd 9.0.0 accepted. */
function call<N extends ProcedureName>(name: N, serial: number, args: ArgsOf<N>, ...wire: string[]): void {
  test(`frame: ${name}`, () => {
    const procedure = procedureOf(name);
    const frame = encodeFrame(
      { ...header, procedure: procedure.number, serial },
      encode(procedure.args, args),
    );
    assert.deepEqual(frame, bytes(...wire));
  });
}

call(
  'REMOTE_PROC_AUTH_LIST',
  1,
  null,
  '0000001c', // length: 28, nothing but the header
  '20008086', // program: remote
  '00000001', // version
  '00000042', // procedure: 66
  '00000000', // type: call
  '00000001', // serial
  '00000000', // status: ok
);

call(
  'REMOTE_PROC_CONNECT_OPEN',
  2,
  { name: 'qemu:///system', flags: 0 },
  '00000038', // length: 56
  '20008086', // program: remote
  '00000001', // version
  '00000001', // procedure: 1
  '00000000', // type: call
  '00000002', // serial
  '00000000', // status: ok
  '00000001', // name: not NULL
  '0000000e', // … of 14 bytes
  '71656d753a2f2f2f73797374656d', // qemu:///system
  '0000', // padding
  '00000000', // flags
);

call(
  'REMOTE_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY',
  3,
  { eventID: 0, dom: null },
  '00000024', // length: 36
  '20008086', // program: remote
  '00000001', // version
  '0000013c', // procedure: 316
  '00000000', // type: call
  '00000003', // serial
  '00000000', // status: ok
  '00000000', // eventID: lifecycle
  '00000000', // dom: NULL, all of them
);

call(
  'REMOTE_PROC_DOMAIN_SET_METADATA',
  14,
  {
    dom: { name: 'vm1', uuid: '6e1b0f4e-3f5d-4e8a-9d6c-0123456789ab', id: -1 },
    type: 2,
    metadata: '<n/>',
    key: 'x',
    uri: 'urn:x',
    flags: 2,
  },
  '00000068', // length: 104
  '20008086', // program: remote
  '00000001', // version
  '00000108', // procedure: 264
  '00000000', // type: call
  '0000000e', // serial
  '00000000', // status: ok
  '00000003 766d3100', // dom.name: vm1, padded
  '6e1b0f4e3f5d4e8a9d6c0123456789ab', // dom.uuid
  'ffffffff', // dom.id: -1
  '00000002', // type: element
  '00000001 00000004 3c6e2f3e', // metadata: <n/>
  '00000001 00000001 78000000', // key: x
  '00000001 00000005 75726e3a78000000', // uri: urn:x
  '00000002', // flags: config
);

test('frame: a keepalive request', () => {
  const ping = { program: 0x6b656570, version: 1, procedure: 1, type: 2, serial: 0, status: 0 };
  assert.deepEqual(
    encodeFrame(ping),
    bytes(
      '0000001c', // length: 28
      '6b656570', // program: "keep"
      '00000001', // version
      '00000001', // procedure: PING
      '00000002', // type: message
      '00000000', // serial
      '00000000', // status: ok
    ),
  );
});

/** Returns the frames in these pieces. */
function read(...pieces: Buffer[]): [FrameHeader, string][] {
  const reader = new FrameReader();
  const frames: [FrameHeader, string][] = [];
  for (const piece of pieces) {
    reader.push(piece, (header, payload) => frames.push([header, payload.toString('hex')]));
  }
  assert.equal(reader.midFrame, false);
  return frames;
}

const first = encodeFrame(header, bytes('01020304'));
const second = encodeFrame({
  program: 0xffffffff,
  version: 0xfffffffe,
  procedure: -1,
  type: -2,
  serial: 0xfffffffd,
  status: -3,
});
const third = encodeFrame({ ...header, serial: 3 }, bytes('0a0b0c0d0e0f0001'));
const stream = Buffer.concat([first, second, third]);
const frames: [FrameHeader, string][] = [
  [header, '01020304'],
  [{ program: 0xffffffff, version: 0xfffffffe, procedure: -1, type: -2, serial: 0xfffffffd, status: -3 }, ''],
  [{ ...header, serial: 3 }, '0a0b0c0d0e0f0001'],
];

test('frame: many in one piece', () => {
  assert.deepEqual(read(stream), frames);
});

test('frame: the same stream cut in two at every byte, in three at every two, and byte by byte', () => {
  for (let a = 0; a <= stream.length; a++) {
    assert.deepEqual(read(stream.subarray(0, a), stream.subarray(a)), frames);
    for (let b = a; b <= stream.length; b++) {
      assert.deepEqual(read(stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b)), frames);
    }
  }
  assert.deepEqual(read(...Array.from(stream, byte => Buffer.of(byte))), frames);
});

test('frame: any frames in any pieces', () => {
  const frame = fc.uint8Array({ maxLength: 200 }).map(payload => encodeFrame(header, Buffer.from(payload)));
  fc.assert(
    fc.property(fc.array(frame), fc.array(fc.nat(60)), (frames, sizes) => {
      const stream = Buffer.concat(frames);
      const pieces: Buffer[] = [];
      let offset = 0;
      for (const size of sizes) {
        pieces.push(stream.subarray(offset, offset + size));
        offset += size;
      }
      pieces.push(stream.subarray(offset));
      assert.deepEqual(
        read(...pieces).map(([, payload]) => payload),
        frames.map(frame => frame.toString('hex', 28)),
      );
    }),
  );
});

test('frame: a reader knows whether it is in the middle of one', () => {
  const reader = new FrameReader();
  reader.push(stream.subarray(0, first.length + 2), () => {});
  assert.equal(reader.midFrame, true);
});

test('frame: a length that no frame can have is an error as soon as it is there', () => {
  for (const length of ['00000000', '00000004', '0000001b', '02000005', '7fffffff', '80000000', 'ffffffff']) {
    assert.throws(() => new FrameReader().push(bytes(length), () => {}), FrameError, length);
    const got: number[] = [];
    const piece = Buffer.concat([first, bytes(length)]);
    assert.throws(() => new FrameReader().push(piece, ({ serial }) => got.push(serial)), FrameError);
    assert.deepEqual(got, [1], 'what came before it still counts');
  }
});

test('frame: the greatest length costs memory only as its bytes come', () => {
  const reader = new FrameReader();
  const before = process.memoryUsage().arrayBuffers;
  reader.push(bytes('02000004'), () => {});
  assert(process.memoryUsage().arrayBuffers - before < 1_000_000);
  let size = 0;
  const piece = Buffer.alloc(65536);
  for (let left = 33554432; left > 0; left -= piece.length) {
    reader.push(piece, (_header, payload) => {
      size = payload.length;
    });
  }
  assert.equal(size, 33554408); // VIR_NET_MESSAGE_PAYLOAD_MAX
});

test.run();
