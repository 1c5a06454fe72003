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
  const { claims, booting, refused } = parsed.value;
  return {
    claims: claims.flatMap(({ uuid, name, ...claim }) => {
      const [forward, ip] = [parseForward(claim.forward), parseIpv4(claim.ip)];
      return forward === null || ip === null ? [] : [{ uuid, name, forward, ip }];
    }),
    booting: booting.map(({ uuid, name, since, forwards }) => ({
      ...{ uuid, name, since },
      wanted: forwards.flatMap(({ forward: written, source }) => {
        const forward: Forward | null = parseForward(written);
        return forward === null ? [] : [{ forward, source }];
      }),
      // They have been logged.
      problems: [],
    })),
    refused,
  };
}

/** Returns the claims of all other bridges. */
export function claimsElsewhere(bridge: string): Claim[] {
  return listDirectory(paths.forwards)
    .filter(name => name.endsWith(suffix) && name !== `${bridge}${suffix}`)
    .flatMap(name => readForwardsRecord(name.slice(0, -suffix.length)).claims);
}

/** Writes a record that differs from the one on disk. Throws VirlanError 'write-failed'. */
export function writeForwardsRecord(bridge: string, { claims, booting, refused }: ForwardsRecord): void {
  if (claims.length + booting.length + refused.length === 0) {
    removeForwardsRecord(bridge);
    return;
  }
  const fields = {
    claims: claims.map(({ uuid, name, forward, ip }) => ({
      ...{ uuid, name },
      forward: formatForward(forward),
      ip: formatIp(ip),
    })),
    booting: booting.map(({ uuid, name, since, wanted }) => ({
      ...{ uuid, name, since },
      forwards: wanted.map(({ forward, source }) => ({ forward: formatForward(forward), source })),
    })),
    refused: [...refused],
  };
  const text = formatRecord(fields, format);
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
