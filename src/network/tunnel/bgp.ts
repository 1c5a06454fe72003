// FRR's bgpd, by which the hosts of a cluster tell each other where machines are. virlan changes its configuration
// while it runs, and no file of FRR's. Loaded only where virlan.ini has `as`, or had since the host booted. The record
// of what virlan added, /run/virlan/bgp.json, is about one process of bgpd:
//
//   {"bgpd": "339 4711", "instance": true, "lines": [{"family": "l2vpn evpn", "command": "advertise-all-vni"}],
//    "version": 1}
import * as v from 'valibot';
import {
  type AddedBgp,
  type BgpChange,
  type BgpFailure,
  bgpCommands,
  type FoundBgp,
  sharedLines,
  speakerOf,
} from '../../cluster/bgp.ts';
import { parseInstance } from '../../cluster/bgp-instance.ts';
import { type BgpSession, parseSessions } from '../../cluster/bgp-sessions.ts';
import { CommandError, messageOf, VirlanError } from '../../errors.ts';
import { formatRecord, parseRecord, type RecordFormat } from '../../records/record.ts';
import { makeDirectory, readOwnFileOrNull, removeFile, writeAtomically } from '../../system/files.ts';
import { paths } from '../../system/paths.ts';
import { system } from '../../system/system.ts';
import { bgpProblemText } from '../steps/bgp-text.ts';
import type { StepOf } from '../steps/steps.ts';
import { frrProcess } from './frr-process.ts';

/** Longest wait for bgpd, which answers in milliseconds: a start of libvirtd may wait meanwhile. */
const timeoutSeconds = 3;

const startupConfig = '/etc/frr/frr.conf';

const schema = v.looseObject({
  /** The process that was configured: a later one has nothing of virlan's. */
  bgpd: v.string(),
  instance: v.boolean(),
  lines: v.array(v.looseObject({ family: v.nullable(v.string()), command: v.string() })),
});

const format: RecordFormat<typeof schema> = { version: 1, migrations: [], schema };

const nothing: AddedBgp = { instance: false, lines: [] };

/** Reads the configuration of bgpd; a reason why that fails is a part of it. */
export async function readBgp(): Promise<Omit<FoundBgp, 'isShared'>> {
  const bgpd = frrProcess('bgpd');
  const reading = await readRunning(bgpd);
  const instance = reading.kind === 'running' ? parseInstance(reading.config) : null;
  return {
    instance,
    speaker: speakerOf(instance),
    startup: parseInstance(system.readFile(startupConfig) ?? ''),
    added: readAdded(bgpd),
    isRecorded: system.exists(paths.bgp),
    failure: reading.kind === 'running' ? null : reading,
  };
}

/** The running configuration of bgpd, or a reason why it cannot be read. */
type BgpReading = { readonly kind: 'running'; readonly config: string } | BgpFailure;

async function readRunning(bgpd: string | null): Promise<BgpReading> {
  if (!system.isInstalled('vtysh')) return { kind: 'no-frr' };
  if (bgpd === null) return { kind: 'not-running', program: 'bgpd' };
  if (frrProcess('zebra') === null) return { kind: 'not-running', program: 'zebra' };
  try {
    return { kind: 'running', config: await vtysh(['show running-config no-header']) };
  } catch (error) {
    return { kind: 'unreadable', message: messageOf(error) };
  }
}

/** Configures bgpd. Throws VirlanError. */
export async function configureBgp(change: StepOf<'configure bgp'>): Promise<void> {
  if (change.problem !== null) throw new VirlanError('wrong-state', bgpProblemText(change.problem));
  const bgpd = frrProcess('bgpd');
  const before = readAdded(bgpd);
  const added = {
    ...before,
    instance: change.isNew || before.instance,
    lines: [...before.lines, ...sharedLines(change.missing)],
  };
  // Without the record, "down" could not tell virlan's lines from the administrator's.
  writeAdded(bgpd ?? '', added);
  await runCommands(change);
}

/** Removes what virlan added. Throws VirlanError. */
export async function withdrawBgp(change: StepOf<'withdraw bgp'>): Promise<void> {
  if (change.problem !== null) throw new VirlanError('wrong-state', bgpProblemText(change.problem));
  await runCommands(change);
  removeFile(paths.bgp);
}

async function runCommands(change: BgpChange): Promise<void> {
  const commands = bgpCommands(change);
  if (commands.length > 0) await vtysh(commands);
}

/** Returns the sessions of bgpd; none while it does not run. Throws CommandError. */
export async function readSessions(): Promise<BgpSession[]> {
  if (frrProcess('bgpd') === null || !system.isInstalled('vtysh')) return [];
  return parseSessions(await vtysh(['show bgp neighbors json']), new Date());
}

/** Runs commands in bgpd alone. The first that it refuses is the last. Throws VirlanError. */
async function vtysh(commands: readonly string[]): Promise<string> {
  const args = ['-d', 'bgpd', ...commands.flatMap(command => ['-c', command])];
  try {
    return await system.run('vtysh', args, { timeoutSeconds });
  } catch (error) {
    throw withReason(error);
  }
}

/** vtysh prints its errors to the standard output, as last line. */
function withReason(error: unknown): unknown {
  if (!(error instanceof CommandError) || error.reason !== 'failed') return error;
  const { stdout = '' } = error.cause as { readonly stdout?: string };
  const said = stdout.trim().split('\n').at(-1);
  const message = `bgpd of FRR refuses its configuration: ${said === '' ? error.message : said}`;
  return new VirlanError('command', message, { cause: error });
}

function readAdded(bgpd: string | null): AddedBgp {
  return parseAdded(readOwnFileOrNull(paths.bgp) ?? '', bgpd);
}

/** Reads the record of what was added to a process of bgpd; nothing if it is damaged, or about another process. */
export function parseAdded(text: string, bgpd: string | null): AddedBgp {
  const parsed = parseRecord(text, format);
  return parsed.ok && parsed.value.bgpd === bgpd ? parsed.value : nothing;
}

function writeAdded(bgpd: string, added: AddedBgp): void {
  makeDirectory(paths.run, 0o700);
  writeAtomically(paths.bgp, formatAdded(bgpd, added), 0o600);
}

/** Returns the record's text in the present version. */
export function formatAdded(bgpd: string, added: AddedBgp): string {
  return formatRecord({ ...added, bgpd, lines: added.lines.map(line => ({ ...line })) }, format);
}
