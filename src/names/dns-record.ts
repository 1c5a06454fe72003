// Reads the records of DNS that `virsh net-update NETWORK add dns-txt …`, and `dns-srv …`, add to a libvirt network.
// Their content is hostile: it goes into lines of dnsmasq.conf (dnsmasq/record-lines.ts).
import { isHostName } from './label.ts';

/** A record as it is written in XML. */
export type RecordText =
  | { readonly kind: 'txt'; readonly name: string; readonly value: string }
  | {
      readonly kind: 'srv';
      readonly service: string;
      readonly protocol: string;
      /** Null: the network's own. */
      readonly domain: string | null;
      /** Null, and `.`: the service does not exist there (RFC 2782). */
      readonly target: string | null;
      readonly port: string | null;
      readonly priority: string | null;
      readonly weight: string | null;
    };

/** A record that can be served. */
export type DnsRecord =
  | { readonly kind: 'txt'; readonly name: string; readonly value: string }
  | { readonly kind: 'srv'; readonly name: string; readonly target: SrvTarget | null };

export interface SrvTarget {
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
}

/** The part of a record because of which it cannot be served. */
export type RecordFault = 'name' | 'value' | 'length' | 'target' | 'number';

export type ParsedRecord =
  | { readonly ok: true; readonly record: DnsRecord }
  | { readonly ok: false; readonly fault: RecordFault };

/**
 * The longest name and value of a TXT record together, in bytes of a line of dnsmasq.conf. dnsmasq reads 1,024 bytes
 * (MAXDNAME in its config.h), and takes what follows for a line of its own.
 */
const maxTxtBytes = 1000;

/** Reads a record of a network with this domain. */
export function parseRecord(text: RecordText, domain: string): ParsedRecord {
  return text.kind === 'txt' ? parseTxt(text) : parseSrv(text, domain);
}

/** Returns the name of a record for a message. It is hostile. */
export function recordName(text: RecordText): string {
  if (text.kind === 'txt') return text.name;
  const domain = text.domain === null ? '' : `.${text.domain}`;
  return `_${text.service}._${text.protocol}${domain}`;
}

function parseTxt({ name: written, value }: RecordText & { kind: 'txt' }): ParsedRecord {
  const name = parseName(written);
  if (name === null) return { ok: false, fault: 'name' };
  if (/\p{Cc}/u.test(value)) return { ok: false, fault: 'value' };
  // Quotes and backslashes need a backslash before them.
  const bytes = Buffer.byteLength(value) + (value.match(/["\\]/g)?.length ?? 0);
  if (name.length + bytes > maxTxtBytes) return { ok: false, fault: 'length' };
  return { ok: true, record: { kind: 'txt', name, value } };
}

function parseSrv(text: RecordText & { kind: 'srv' }, domain: string): ParsedRecord {
  const parent = parseName(text.domain ?? domain);
  const name = parent === null ? null : parseName(recordName({ ...text, domain: parent }));
  if (name === null || ![text.service, text.protocol].every(isService)) return { ok: false, fault: 'name' };
  if (text.target === null || text.target === '.')
    return { ok: true, record: { kind: 'srv', name, target: null } };
  const host = parseName(text.target);
  if (host === null) return { ok: false, fault: 'target' };
  // A missing number has the default that libvirt writes for its own dnsmasq.
  const port = parseNumber(text.port, 1);
  const priority = parseNumber(text.priority, 0);
  const weight = parseNumber(text.weight, 0);
  if (port === null || priority === null || weight === null) return { ok: false, fault: 'number' };
  return { ok: true, record: { kind: 'srv', name, target: { host, port, priority, weight } } };
}

/** Returns a name in lower case and without the dot at its end; null for what cannot be one. */
function parseName(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '');
  return isHostName(name) ? name : null;
}

/** Returns whether a text can follow the underscore of a service or a protocol. */
function isService(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/i.test(text);
}

function parseNumber(text: string | null, otherwise: number): number | null {
  if (text === null) return otherwise;
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : null;
}
