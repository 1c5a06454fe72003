// 100,000 random inputs for everything that decodes: only the two errors that a connection handles may be
// thrown.

import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { decode } from '../src/codec.ts';
import { FrameError, XdrError } from '../src/errors.ts';
import { decodeEvent } from '../src/events.ts';
import { FrameReader } from '../src/frame.ts';
import {
  type ProcedureName,
  procedures,
  remoteError as remoteErrorCodec,
  remoteEvents,
} from '../src/procedures.ts';
import { domain, frame, lifecycle, network, remoteError, u32, xdrString } from './peer.ts';

const test = suite('node-libvirt fuzz');

const inputs = 100_000;

/** Returns a generator of numbers from 0 to 1 (mulberry32), so that every run has the same inputs. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function event(procedure: number, ...payload: string[]): Buffer {
  return frame({ procedure, type: 2, serial: 1 }, payload.join(''));
}
function reply(procedure: number, ...payload: string[]): Buffer {
  return frame({ procedure, type: 1, serial: 5 }, payload.join(''));
}

/** Frames that libvirtd could send. */
const seeds: Buffer[] = [
  reply(66, u32(1), u32(0)),
  reply(316, u32(0)),
  reply(14, xdrString('<domain/>'.repeat(50))),
  reply(23, domain('vm1')),
  reply(43, xdrString('<network/>')),
  reply(46, network('default')),
  reply(157, u32(0), u32(9_000_000)),
  reply(212, u32(1), u32(1)),
  reply(273, u32(3), domain('a'), domain('bb'), domain('ccc'), u32(3)),
  reply(283, u32(2), network('a'), network('default'), u32(2)),
  frame({ procedure: 23, type: 1, serial: 5, status: 1 }, remoteError(42, 10, 'Domain not found')),
  lifecycle(0, 'vm1', 0, 0),
  event(315, u32(0), network('default'), u32(3), u32(0)),
  event(333, u32(1), domain('vm1'), xdrString('net0')),
  event(354, u32(2), domain('vm1'), xdrString('net0')),
  event(379, u32(3), domain('vm1'), u32(2), u32(1), xdrString('urn:x')),
  frame({ program: 0x6b656570, procedure: 1, type: 2 }),
];

const names = Object.keys(procedures) as ProcedureName[];
const replyCodecs = new Map(names.map(name => [procedures[name].number as number, procedures[name].reply]));
const eventNumbers = Object.values(remoteEvents).map(({ number }) => number);

test(`fuzz: ${inputs} inputs`, () => {
  const random = randomFrom(20008086);
  function below(limit: number): number {
    return Math.floor(random() * limit);
  }
  function pick<T>(items: readonly T[]): T {
    return items[below(items.length)] as T;
  }
  const nastyNumbers = [
    0, 1, 3, 4, 27, 28, 0x400001, 0x2000004, 0x2000005, 0x7fffffff, 0x80000000, 0xffffffff,
  ];

  function mutate(input: Buffer): Buffer {
    let bytes = Buffer.from(input);
    for (let times = 1 + below(4); times > 0; times--) {
      const at = below(bytes.length);
      const kind = below(6);
      if (kind === 0) bytes[at] = below(256);
      else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
      else if (kind === 2 && bytes.length >= 4)
        bytes.writeUInt32BE(pick(nastyNumbers), (at >> 2) * 4 > bytes.length - 4 ? 0 : (at >> 2) * 4);
      else if (kind === 3)
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 4))]);
      else if (kind === 4)
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(below(bytes.length))]);
      else bytes = Buffer.concat([bytes, pick(seeds)]);
      if (bytes.length === 0) return bytes;
    }
    // Usually a correct length, to get past the first check.
    if (below(4) > 0 && bytes.length >= 28) bytes.writeUInt32BE(bytes.length, 0);
    return bytes;
  }
  function garbage(): Buffer {
    return Buffer.from(Array.from({ length: below(120) }, () => below(256)));
  }

  const outcomes = { frames: 0, values: 0, XdrError: 0, FrameError: 0 };
  function expectOnly(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (error instanceof XdrError) outcomes.XdrError++;
      else if (error instanceof FrameError) outcomes.FrameError++;
      else throw error;
    }
  }
  function decodeAll(procedure: number, payload: Buffer): void {
    const codec = replyCodecs.get(procedure) ?? procedures[pick(names)].reply;
    expectOnly(() => {
      decode<unknown>(codec as Parameters<typeof decode<unknown>>[0], payload);
      outcomes.values++;
    });
    expectOnly(() => {
      decode(remoteErrorCodec, payload);
      outcomes.values++;
    });
    expectOnly(() => {
      decodeEvent(eventNumbers.includes(procedure as never) ? procedure : pick(eventNumbers), payload);
      outcomes.values++;
    });
  }

  for (let i = 0; i < inputs; i++) {
    const input = below(10) === 0 ? garbage() : mutate(pick(seeds));
    const cut = below(input.length + 1);
    expectOnly(() => {
      const reader = new FrameReader();
      for (const piece of [input.subarray(0, cut), input.subarray(cut)]) {
        reader.push(piece, ({ procedure }, payload) => {
          outcomes.frames++;
          decodeAll(procedure, payload);
        });
      }
    });
  }
  // The inputs reach every part of the decoder.
  for (const [outcome, count] of Object.entries(outcomes))
    assert(count > inputs / 20, `${outcome}: ${count}`);
});

test.run();
