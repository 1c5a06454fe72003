// Codecs: they encode and decode the types of remote_protocol.x. Those of structures are composed of smaller
// ones, so that the table of procedures is a declaration.

import { Buffer } from 'node:buffer';
import { XdrError } from './errors.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

/** Encodes and decodes values of one type. */
export interface Codec<T> {
  /** @throws XdrError for a value that the type cannot represent */
  encode(writer: XdrWriter, value: T): void;
  /** @throws XdrError for bytes that are not a value of the type */
  decode(reader: XdrReader): T;
}

/** The type of a codec's values. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** REMOTE_STRING_MAX, VIR_NET_MESSAGE_STRING_MAX */
const stringMax = 4194304;

/** VIR_UUID_BUFLEN */
const uuidLength = 16;

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** int */
export const int: Codec<number> = {
  encode: (writer, value) => void writer.int(value),
  decode: reader => reader.int(),
};

/** unsigned int */
export const uint: Codec<number> = {
  encode: (writer, value) => void writer.uint(value),
  decode: reader => reader.uint(),
};

/** unsigned hyper */
export const uhyper: Codec<bigint> = {
  encode: (writer, value) => void writer.uhyper(value),
  decode: reader => reader.uhyper(),
};

/** remote_nonnull_string */
export const string: Codec<string> = {
  encode: (writer, value) => void writer.string(value, stringMax),
  decode: reader => reader.string(stringMax),
};

/** remote_uuid: 16 bytes on the wire, the canonical lower-case text with dashes in JavaScript. */
export const uuid: Codec<string> = {
  encode: (writer, value) => {
    if (!uuidPattern.test(value)) throw new XdrError(`"${value}" is not a UUID`);
    writer.opaque(Buffer.from(value.replaceAll('-', ''), 'hex'));
  },
  decode: reader => {
    const hex = reader.opaque(uuidLength).toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
};

/** No bytes: the arguments or the reply of a procedure that has none. */
export const nothing: Codec<null> = {
  encode: () => {},
  decode: () => null,
};

/** `type *name`: a pointer that may be NULL. */
export function optional<T>(codec: Codec<T>): Codec<T | null> {
  return {
    encode: (writer, value) => {
      writer.bool(value !== null);
      if (value !== null) codec.encode(writer, value);
    },
    decode: reader => (reader.bool() ? codec.decode(reader) : null),
  };
}

/** `type name<max>`: an array of at most `max` elements. */
export function array<T>(codec: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    encode: (writer, values) => {
      writer.count(values.length, max);
      for (const value of values) codec.encode(writer, value);
    },
    decode: reader => {
      // Grown element by element: a false count costs no more memory than the bytes received.
      const values: T[] = [];
      for (let left = reader.count(max); left > 0; left--) values.push(codec.decode(reader));
      return values;
    },
  };
}

/** `struct { … }`: the fields in the order in which they are declared. */
export function struct<T extends object>(fields: { [K in keyof T]: Codec<T[K]> }): Codec<T> {
  const keys = Object.keys(fields) as (keyof T)[];
  return {
    encode: (writer, value) => {
      for (const key of keys) fields[key].encode(writer, value[key]);
    },
    decode: reader => {
      const value: Partial<T> = {};
      for (const key of keys) value[key] = fields[key].decode(reader);
      return value as T;
    },
  };
}

/** Returns the bytes of one value. Throws XdrError for a value that the type cannot represent. */
export function encode<T>(codec: Codec<T>, value: T): Buffer {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  return writer.finish();
}

/**
 * Returns the one value that `bytes` encode. Throws XdrError if they encode none, or if some are left over.
 */
export function decode<T>(codec: Codec<T>, bytes: Buffer): T {
  const reader = new XdrReader(bytes);
  const value = codec.decode(reader);
  reader.end();
  return value;
}
