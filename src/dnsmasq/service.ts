// Starts and stops a network's dnsmasq, by its systemd unit if the host has one.
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CommandError, VirlanError } from '../errors.ts';
import { appendToFile, makeDirectory, readFileOrNull, removeFile } from '../system/files.ts';
import { sendSignal } from '../system/processes.ts';
import { run, runOrNull } from '../system/run.ts';
import { readOwnIfReadable } from '../system/unreadable-files.ts';
import { isWrittenByVirlan } from './conf.ts';
import { keepLeases } from './open-leases.ts';
import { dnsmasqPaths } from './paths.ts';
import { findDyingDnsmasq, hasEnded } from './process.ts';

/** Exists where systemd is process 1: sd_booted(3). */
const systemdDirectory = '/run/systemd/system';

const unitFile = '/usr/lib/systemd/system/virlan-dnsmasq@.service';

/**
 * dnsmasq(8), EXIT CODES: "A problem with network access occurred", as with a port that another program has.
 */
const networkAccessExitCode = 2;

/** dnsmasq is killed when it has not ended after this time. */
const endTimeoutMs = 2000;

/** Interval of reading its state meanwhile: it is not a child, so its end is not announced. */
const endPollMs = 5;

/** A start of dnsmasq that failed; `cause` is the error to throw. */
interface StartFailure {
  readonly message: string;
  readonly exitCode: number | null;
  readonly cause: unknown;
}

/**
 * Starts a network's dnsmasq. It answers requests when this returns. Throws VirlanError 'port-in-use' when it
 * cannot use a port, and CommandError when it fails otherwise.
 */
export async function startDnsmasq(bridge: string): Promise<void> {
  const { pid, hostsfile, names } = dnsmasqPaths(bridge);
  makeDirectory(dirname(pid));
  for (const path of [hostsfile, names]) if (!existsSync(path)) appendToFile(path, '', 0o644);
  const dying = findDyingDnsmasq(bridge);
  if (dying !== null) await endsInTime(dying);
  const failure = await (hasUnit(bridge) ? startUnit(unitOf(bridge)) : startProcess(bridge));
  if (failure === null) return;
  const { message, exitCode, cause } = failure;
  if (exitCode !== networkAccessExitCode) throw cause;
  const remedy = 'stop what listens there, "ss -lntup" shows it';
  throw new VirlanError('port-in-use', `${message}: ${remedy}`, { cause });
}

/**
 * Ends a network's dnsmasq. When this returns, its ports are free. Throws VirlanError 'wrong-state'.
 */
export async function stopDnsmasq(pid: number, bridge: string): Promise<void> {
  keepLeases(pid, bridge);
  // systemd restarts a killed process of a unit.
  if (readFileOrNull(`/proc/${pid}/cgroup`)?.includes(`/${unitOf(bridge)}`)) {
    await run('systemctl', ['stop', unitOf(bridge)]);
    return;
  }
  // A process that was stopped by a signal has to go on to take note of SIGTERM. After SIGTERM it may be gone.
  sendSignal(pid, 'SIGCONT');
  sendSignal(pid, 'SIGTERM');
  if (!(await endsInTime(pid))) {
    sendSignal(pid, 'SIGKILL');
    if (!(await endsInTime(pid))) {
      const message = `dnsmasq of ${bridge}, process ${pid}, does not end: kill it by hand`;
      throw new VirlanError('wrong-state', message);
    }
  }
  removeFile(dnsmasqPaths(bridge).pid);
}

/** Returns the unit of a bridge. `parseLinkName` allows no character that systemd would have to escape. */
function unitOf(bridge: string): string {
  return `virlan-dnsmasq@${bridge}.service`;
}

/**
 * Returns whether the unit can start dnsmasq. It runs as the user dnsmasq, so it is not used without that
 * user or with a configuration made by hand.
 */
function hasUnit(bridge: string): boolean {
  if (!existsSync(systemdDirectory) || !existsSync(unitFile)) return false;
  const conf = readOwnIfReadable(dnsmasqPaths(bridge).conf) ?? '';
  return isWrittenByVirlan(conf) && conf.includes('\nuser=dnsmasq\n');
}

/**
 * Starts dnsmasq without systemd. It returns when it has bound its ports. The pid file is an argument,
 * because a configuration made by hand names none.
 */
async function startProcess(bridge: string): Promise<StartFailure | null> {
  const { conf, pid } = dnsmasqPaths(bridge);
  try {
    await run('dnsmasq', [`--conf-file=${conf}`, `--pid-file=${pid}`]);
    return null;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return { message: error.message, exitCode: error.exitCode, cause: error };
  }
}

/** Starts dnsmasq's unit. Returns null when it runs. */
async function startUnit(unit: string): Promise<StartFailure | null> {
  try {
    await run('systemctl', ['start', unit]);
    return null;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const [exitCode, reason] = await Promise.all([unitExitCode(unit), loggedReason(unit)]);
    // systemd would restart it again and again.
    await runOrNull('systemctl', ['stop', unit]);
    if (reason === null) return { message: error.message, exitCode, cause: error };
    const message = `${unit}: ${reason}`;
    return { message, exitCode, cause: new VirlanError('command', message, { cause: error }) };
  }
}

/**
 * Returns the exit code of the unit's command. For a forking service systemd keeps it only in ExecStart.
 */
async function unitExitCode(unit: string): Promise<number | null> {
  const shown = await runOrNull('systemctl', ['show', unit, '--property=ExecStart']);
  const [, status] = /code=exited ; status=(\d+)/.exec(shown ?? '') ?? [];
  return status === undefined ? null : Number(status);
}

/** Returns the error message of dnsmasq from the journal: systemctl shows only the exit code. */
async function loggedReason(unit: string): Promise<string | null> {
  await runOrNull('journalctl', ['--sync']);
  const journal = await runOrNull('journalctl', ['--quiet', '--output=cat', '--lines=10', '--unit', unit]);
  return journal?.split('\n').findLast(line => line.startsWith('dnsmasq: ')) ?? null;
}

async function endsInTime(pid: number): Promise<boolean> {
  for (let waitedMs = 0; !hasEnded(pid); waitedMs += endPollMs) {
    if (waitedMs >= endTimeoutMs) return false;
    await new Promise(resolve => setTimeout(resolve, endPollMs));
  }
  return true;
}
