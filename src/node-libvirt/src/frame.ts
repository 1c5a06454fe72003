// The frames of libvirt's RPC (src/rpc/virnetprotocol.x). Nothing here opens a socket or waits. On the wire:
//
//   offset  0  unsigned  length of the whole frame, these 4 bytes included
//           4  unsigned  prog     the program: remote, keepalive, …
//           8  unsigned  vers     its version
//          12  int       proc     the procedure within the program
//          16  int       type     MessageType
//          20  unsigned  serial   a reply has that of its call; that of an event has no meaning
//          24  int       status   MessageStatus
//          28  …                  the payload, XDR of the type that the procedure defines

import { Buffer } from 'node:buffer';
import { FrameError } from './errors.ts';

/** The types of frames (virNetMessageType). */
export const MessageType = {
  CALL: 0,
  REPLY: 1,
  MESSAGE: 2,
} as const;

/** The status of a frame (virNetMessageStatus). */
export const MessageStatus = {
  OK: 0,
  ERROR: 1,
} as const;

/** The header of a frame (virNetMessageHeader). */
export interface FrameHeader {
  /** Such as 0x20008086, the remote program. */
  readonly program: number;
  readonly version: number;
  readonly procedure: number;
  /** One of `MessageType`. */
  readonly type: number;
  readonly serial: number;
  /** One of `MessageStatus`. */
  readonly status: number;
}

/** VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_HEADER_MAX: the smallest length of a frame. */
const headerEnd = 4 + 24;

/** VIR_NET_MESSAGE_MAX does not count the length field itself. */
const frameMax = 4 + 33554432;

/** Returns a frame as bytes. */
export function encodeFrame(header: FrameHeader, payload: Buffer = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(headerEnd + payload.length);
  frame.writeUInt32BE(frame.length, 0);
  frame.writeUInt32BE(header.program, 4);
  frame.writeUInt32BE(header.version, 8);
  frame.writeInt32BE(header.procedure, 12);
  frame.writeInt32BE(header.type, 16);
  frame.writeUInt32BE(header.serial, 20);
  frame.writeInt32BE(header.status, 24);
  payload.copy(frame, headerEnd);
  return frame;
}

function decodeHeader(frame: Buffer): FrameHeader {
  return {
    program: frame.readUInt32BE(4),
    version: frame.readUInt32BE(8),
    procedure: frame.readInt32BE(12),
    type: frame.readInt32BE(16),
    serial: frame.readUInt32BE(20),
    status: frame.readInt32BE(24),
  };
}

/** Assembles frames from the pieces in which a stream delivers them. */
export class FrameReader {
  /**
   * Received and not consumed; joined only when the frame is complete, so that a large frame is copied once.
   */
  #pieces: Buffer[] = [];
  #buffered = 0;
  /** The number of bytes needed before there is something to do. */
  #needed = 4;

  /**
   * Takes the next piece of the stream and calls `onFrame` with each frame that it completes.
   *
   * @throws FrameError for an impossible length. The next frame cannot be found after that, so the reader
   *   must not be used again.
   */
  push(piece: Buffer, onFrame: (header: FrameHeader, payload: Buffer) => void): void {
    this.#pieces.push(piece);
    this.#buffered += piece.length;
    if (this.#buffered < this.#needed) return;

    let rest = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces, this.#buffered);
    this.#needed = 4;
    while (rest.length >= 4) {
      const length = rest.readUInt32BE(0);
      if (length < headerEnd || length > frameMax) throw new FrameError(`a frame of ${length} bytes`);
      if (rest.length < length) {
        this.#needed = length;
        break;
      }
      onFrame(decodeHeader(rest), rest.subarray(headerEnd, length));
      rest = rest.subarray(length);
    }
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#buffered = rest.length;
  }

  /** Tells whether the stream is in the middle of a frame. */
  get midFrame(): boolean {
    return this.#buffered > 0;
  }
}
