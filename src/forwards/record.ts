// The record of the ports that machines of one network have: /run/virlan/forwards/BRIDGE.json. It says who was
// first, and which machines are about to run, which libvirt's files do not say yet.
//
//   {"claims": [{"uuid": "6b4a…", "name": "web", "forward": "tcp/8443:443", "ip": "192.168.100.57"}],
//    "booting": [{"uuid": "6b4a…", "name": "web", "since": 1795750000000, "forwards": ["tcp/8443:443"], …}],
//    "refused": ["[\"6b4a5c7e-…\",{\"kind\":\"busy\", …}]"], "version": 1}
import { rmdirSync } from 'node:fs';
import * as v from 'valibot';
import { formatIp, parseIpv4 } from '../address/ip.ts';
import { type Forward, formatForward, parseForward } from '../config/forward.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../records/record.ts';
import {
  listDirectory,
  makeDirectory,
  readOwnFileOrNull,
  removeFile,
  writeAtomically,
} from '../system/files.ts';
import { paths } from '../system/paths.ts';
import type { Claim } from './choose.ts';
import type { ForwardSource, ForwardWishes } from './wishes.ts';

/** A machine that libvirt is about to start. */
export interface Booting extends ForwardWishes {
  readonly uuid: string;
  readonly name: string;
  /** In ms since 1970. */
  readonly since: number;
}

export interface ForwardsRecord {
  readonly claims: readonly Claim[];
  readonly booting: readonly Booting[];
  /** The texts of the refusals that were logged. */
  readonly refused: readonly string[];
}

const noForwards: ForwardsRecord = { claims: [], booting: [], refused: [] };

const sourceSchema = v.picklist(['metadata', 'virlan.ini'] as const satisfies readonly ForwardSource[]);

const schema = v.looseObject({
  claims: v.array(v.looseObject({ uuid: v.string(), name: v.string(), forward: v.string(), ip: v.string() })),
  booting: v.array(
    v.looseObject({
      uuid: v.string(),
      name: v.string(),
      since: v.number(),
      forwards: v.array(v.looseObject({ forward: v.string(), source: sourceSchema })),
    }),
  ),
  refused: v.array(v.string()),
});

const format: RecordFormat<typeof schema> = { version: 1, migrations: [], schema };

const suffix = '.json';

function recordPath(bridge: string): string {
  return `${paths.forwards}/${bridge}${suffix}`;
}

/** Reads the record of a bridge; an empty one where there is none or it is damaged. */
export function readForwardsRecord(bridge: string): ForwardsRecord {
  const text = readOwnFileOrNull(recordPath(bridge));
  return text === null ? noForwards : parseForwardsRecord(text);
}

/** Reads a record; a damaged one is read as empty, and parts that are not valid are left out. */
export function parseForwardsRecord(text: string): ForwardsRecord {
  const parsed = parseRecord(text, format);
  if (!parsed.ok) return noForwards;
  const { claims, booting } = parsed.value;
  return {
    ...parsed.value,
    claims: claims.flatMap(claim => {
      const [forward, ip] = [parseForward(claim.forward), parseIpv4(claim.ip)];
      return forward === null || ip === null ? [] : [{ ...claim, forward, ip }];
    }),
    booting: booting.map(({ forwards, ...machine }) => ({
      ...machine,
      wanted: forwards.flatMap(each => {
        const forward: Forward | null = parseForward(each.forward);
        return forward === null ? [] : [{ ...each, forward }];
      }),
      // They have been logged.
      problems: [],
    })),
  };
}

/** Returns the record's text in the present version. */
export function formatForwardsRecord({ claims, booting, refused, ...others }: ForwardsRecord): string {
  const fields = {
    ...others,
    claims: claims.map(claim => ({
      ...claim,
      forward: formatForward(claim.forward),
      ip: formatIp(claim.ip),
    })),
    booting: booting.map(({ wanted, problems: _, ...machine }) => ({
      ...machine,
      forwards: wanted.map(each => ({ ...each, forward: formatForward(each.forward) })),
    })),
    refused: [...refused],
  };
  return formatRecord(fields, format);
}

/** Returns the claims of all other bridges. */
export function claimsElsewhere(bridge: string): Claim[] {
  return listDirectory(paths.forwards)
    .filter(name => name.endsWith(suffix) && name !== `${bridge}${suffix}`)
    .flatMap(name => readForwardsRecord(name.slice(0, -suffix.length)).claims);
}

/** Writes a record that differs from the one on disk. Throws VirlanError 'write-failed'. */
export function writeForwardsRecord(bridge: string, record: ForwardsRecord): void {
  const { claims, booting, refused } = record;
  if (claims.length + booting.length + refused.length === 0) {
    removeForwardsRecord(bridge);
    return;
  }
  const text = formatForwardsRecord(record);
  if (readOwnFileOrNull(recordPath(bridge)) === text) return;
  for (const directory of [paths.run, paths.forwards]) makeDirectory(directory, 0o700);
  writeAtomically(recordPath(bridge), text, 0o600);
}

/**
 * Removes the record, and the directory with the last one: hooks/qemu has no work at the end of a machine where
 * there is no directory.
 */
export function removeForwardsRecord(bridge: string): void {
  removeFile(recordPath(bridge));
  try {
    rmdirSync(paths.forwards);
  } catch {
    // It has records of other networks, or does not exist.
  }
}
