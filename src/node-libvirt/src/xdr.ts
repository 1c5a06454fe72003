// The part of XDR (RFC 4506) that libvirt's remote protocol uses: every value is big-endian and a multiple of
// 4 bytes long. Every read is checked against the bytes available, every write against the range of the type.

import { Buffer } from 'node:buffer';
import { XdrError } from './errors.ts';

function paddingOf(length: number): number {
  return -length & 3;
}

/**
 * Reads XDR values from a buffer, in order. Every method throws XdrError if the bytes are not such a value.
 */
export class XdrReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#advance(4));
  }

  uint(): number {
    return this.#bytes.readUInt32BE(this.#advance(4));
  }

  uhyper(): bigint {
    return this.#bytes.readBigUInt64BE(this.#advance(8));
  }

  bool(): boolean {
    const value = this.uint();
    if (value > 1) throw new XdrError(`a boolean of ${value}`);
    return value === 1;
  }

  /** Returns a view of `length` bytes, not a copy. The padding is not checked, as in libtirpc. */
  opaque(length: number): Buffer {
    const start = this.#advance(length + paddingOf(length));
    return this.#bytes.subarray(start, start + length);
  }

  /**
   * Reads a string. Bytes that are not UTF-8 become U+FFFD: libvirt sends error messages in the encoding of
   * the daemon's locale, and one such message must not end the connection.
   */
  string(maxLength: number): string {
    return this.opaque(this.count(maxLength)).toString('utf8');
  }

  /** Reads the number of bytes or elements that follow. */
  count(max: number): number {
    const count = this.uint();
    if (count > max) throw new XdrError(`${count} where at most ${max} are allowed`);
    return count;
  }

  /** Checks that no bytes are left: left-over bytes mean that both sides disagree on the structure. */
  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw new XdrError(`${left} bytes left over`);
  }

  #advance(length: number): number {
    const start = this.#offset;
    const left = this.#bytes.length - start;
    if (length > left) throw new XdrError(`${length} bytes expected, ${left} available`);
    this.#offset = start + length;
    return start;
  }
}

function inRange(value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new XdrError(`${value} is not an integer from ${min} to ${max}`);
  }
  return value;
}

/**
 * Writes XDR values, in order, into a buffer that grows. Throws XdrError for a value outside the type's
 * range.
 */
export class XdrWriter {
  #bytes = Buffer.allocUnsafe(256);
  #length = 0;

  int(value: number): this {
    const checked = inRange(value, -0x80000000, 0x7fffffff);
    const start = this.#grow(4);
    this.#bytes.writeInt32BE(checked, start);
    return this;
  }

  uint(value: number): this {
    const checked = inRange(value, 0, 0xffffffff);
    const start = this.#grow(4);
    this.#bytes.writeUInt32BE(checked, start);
    return this;
  }

  uhyper(value: bigint): this {
    if (BigInt.asUintN(64, value) !== value) throw new XdrError(`${value} does not fit into 64 bits`);
    const start = this.#grow(8);
    this.#bytes.writeBigUInt64BE(value, start);
    return this;
  }

  bool(value: boolean): this {
    return this.uint(value ? 1 : 0);
  }

  opaque(value: Uint8Array): this {
    const padding = paddingOf(value.length);
    const start = this.#grow(value.length + padding);
    this.#bytes.set(value, start);
    this.#bytes.fill(0, start + value.length, start + value.length + padding);
    return this;
  }

  /** The daemon reads strings as C strings: a NUL would silently cut off the rest, so it is an error here. */
  string(value: string, maxLength: number): this {
    if (value.includes('\0')) throw new XdrError('a string that contains a NUL');
    const bytes = Buffer.from(value, 'utf8');
    return this.count(bytes.length, maxLength).opaque(bytes);
  }

  /** Writes the number of bytes or elements that follow. */
  count(count: number, max: number): this {
    return this.uint(inRange(count, 0, max));
  }

  /** Returns everything written so far. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for `length` bytes and returns their offset. Doubling keeps the cost of copying linear. */
  #grow(length: number): number {
    const start = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, 2 * this.#bytes.length));
      this.#bytes.copy(grown, 0, 0, start);
      this.#bytes = grown;
    }
    return start;
  }
}
