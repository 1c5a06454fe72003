// The frames of libvirt's RPC (src/rpc/virnetprotocol.x), on the wire:
//
//   offset  0  unsigned  length of the whole frame, these 4 bytes included
//           4  unsigned  prog     the program: remote, keepalive, …
//           8  unsigned  vers     its version
//          12  int       proc     the procedure within the program
//          16  int       type     MessageType
//          20  unsigned  serial   a reply carries that of its call; events carry one that means nothing
//          24  int       status   MessageStatus
//          28  …                  the payload, XDR as the procedure has it
//
// Nothing here knows of sockets or waits for anything.

import { Buffer } from 'node:buffer';
import { FrameError } from './errors.ts';

/** virNetMessageType */
export const MessageType = {
  CALL: 0,
  REPLY: 1,
  MESSAGE: 2,
} as const;

/** virNetMessageStatus */
export const MessageStatus = {
  OK: 0,
  ERROR: 1,
} as const;

/** virNetMessageHeader */
export interface FrameHeader {
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

/** VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_HEADER_MAX: the least that a frame can be. */
const HEADER_END = 4 + 24;

/** VIR_NET_MESSAGE_MAX does not count the length field itself. */
const FRAME_MAX = 4 + 33554432;

/** One frame as bytes. */
export const encodeFrame = (header: FrameHeader, payload: Buffer = Buffer.alloc(0)): Buffer => {
  const frame = Buffer.allocUnsafe(HEADER_END + payload.length);
  frame.writeUInt32BE(frame.length, 0);
  frame.writeUInt32BE(header.program, 4);
  frame.writeUInt32BE(header.version, 8);
  frame.writeInt32BE(header.procedure, 12);
  frame.writeInt32BE(header.type, 16);
  frame.writeUInt32BE(header.serial, 20);
  frame.writeInt32BE(header.status, 24);
  payload.copy(frame, HEADER_END);
  return frame;
};

const decodeHeader = (frame: Buffer): FrameHeader => ({
  program: frame.readUInt32BE(4),
  version: frame.readUInt32BE(8),
  procedure: frame.readInt32BE(12),
  type: frame.readInt32BE(16),
  serial: frame.readUInt32BE(20),
  status: frame.readInt32BE(24),
});

/** Puts frames together from the pieces in which a stream delivers them. */
export class FrameReader {
  /** What came and is not used up yet; joined only once the frame is whole, so that big frames are copied once. */
  #pieces: Buffer[] = [];
  #buffered = 0;
  /** How many bytes must be there before there is something to do. */
  #needed = 4;

  /**
   * Takes the next piece of the stream and hands over each frame that it completes.
   *
   * @throws FrameError at a length that no frame can have. There is no way to find the next frame after that: the
   *   reader is not to be used again.
   */
  push(piece: Buffer, onFrame: (header: FrameHeader, payload: Buffer) => void): void {
    this.#pieces.push(piece);
    this.#buffered += piece.length;
    if (this.#buffered < this.#needed) return;

    let rest = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces, this.#buffered);
    this.#needed = 4;
    while (rest.length >= 4) {
      const length = rest.readUInt32BE(0);
      if (length < HEADER_END || length > FRAME_MAX) throw new FrameError(`a frame of ${length} bytes`);
      if (rest.length < length) {
        this.#needed = length;
        break;
      }
      onFrame(decodeHeader(rest), rest.subarray(HEADER_END, length));
      rest = rest.subarray(length);
    }
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#buffered = rest.length;
  }

  /** Whether the stream, if it ended now, would end in the middle of a frame. */
  get midFrame(): boolean {
    return this.#buffered > 0;
  }
}
