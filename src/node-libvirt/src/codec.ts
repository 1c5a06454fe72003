// A codec says how one type of remote_protocol.x travels, in both directions; larger ones are put together from
// smaller ones, so that the table of procedures can be declared instead of programmed.

import { Buffer } from 'node:buffer';
import { XdrError } from './errors.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

export interface Codec<T> {
  encode(writer: XdrWriter, value: T): void;
  decode(reader: XdrReader): T;
}

/** The type of the values that a codec carries. */
export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** REMOTE_STRING_MAX, VIR_NET_MESSAGE_STRING_MAX */
const STRING_MAX = 4194304;

/** VIR_UUID_BUFLEN */
const UUID_LENGTH = 16;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const int: Codec<number> = {
  encode: (writer, value) => void writer.int(value),
  decode: reader => reader.int(),
};

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
  encode: (writer, value) => void writer.string(value, STRING_MAX),
  decode: reader => reader.string(STRING_MAX),
};

/** remote_uuid: 16 bytes on the wire, the canonical lower-case form with dashes everywhere else. */
export const uuid: Codec<string> = {
  encode: (writer, value) => {
    if (!UUID.test(value)) throw new XdrError(`"${value}" is not a UUID`);
    writer.opaque(Buffer.from(value.replaceAll('-', ''), 'hex'));
  },
  decode: reader => {
    const hex = reader.opaque(UUID_LENGTH).toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  },
};

/** No bytes at all: the arguments or the reply of a procedure that has none. */
export const nothing: Codec<void> = {
  encode: () => {},
  decode: () => {},
};

/** `type *name`: a pointer that may be NULL. */
export const optional = <T>(codec: Codec<T>): Codec<T | null> => ({
  encode: (writer, value) => {
    writer.bool(value !== null);
    if (value !== null) codec.encode(writer, value);
  },
  decode: reader => (reader.bool() ? codec.decode(reader) : null),
});

/** `type name<max>` */
export const array = <T>(codec: Codec<T>, max: number): Codec<readonly T[]> => ({
  encode: (writer, values) => {
    writer.count(values.length, max);
    for (const value of values) codec.encode(writer, value);
  },
  decode: reader => {
    // Grown element by element: a count that lies costs no more memory than the bytes that came.
    const values: T[] = [];
    for (let left = reader.count(max); left > 0; left--) values.push(codec.decode(reader));
    return values;
  },
});

/** `struct { … }`: the fields in the order in which they are written down. */
export const struct = <T extends object>(fields: { [K in keyof T]: Codec<T[K]> }): Codec<T> => {
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
};

/** The bytes of one value. */
export const encode = <T>(codec: Codec<T>, value: T): Buffer => {
  const writer = new XdrWriter();
  codec.encode(writer, value);
  return writer.finish();
};

/** The one value that all of `bytes` stands for. */
export const decode = <T>(codec: Codec<T>, bytes: Buffer): T => {
  const reader = new XdrReader(bytes);
  const value = codec.decode(reader);
  reader.end();
  return value;
};
