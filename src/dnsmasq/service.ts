// Starts and stops a network's dnsmasq, in its systemd unit where there is one.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CommandError, VirlanError } from '../errors.ts';
import { readFileOrNull } from '../system/files.ts';
import { run, runOrNull } from '../system/run.ts';
import { isWrittenByVirlan } from './conf.ts';
import { dnsmasqPaths } from './paths.ts';
import { findDyingDnsmasq, hasEnded } from './process.ts';

/** Exists where systemd is process 1: sd_booted(3). */
const systemdDirectory = '/run/systemd/system';

const unitFile = '/usr/lib/systemd/system/virlan-dnsmasq@.service';

/**
 * dnsmasq(8), EXIT CODES: "A problem with network access occurred", as with a port that another program has.
 */
const networkAccessExitCode = 2;

/** How long dnsmasq may take to end before it is killed. */
const endTimeoutMs = 2000;

/** How often its process is looked for meanwhile: it is not a child, so nothing announces its end. */
const endPollMs = 5;

/** dnsmasq did not start. */
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
  const { pid, hostsfile } = dnsmasqPaths(bridge);
  mkdirSync(dirname(pid), { recursive: true });
  writeFileSync(hostsfile, '', { flag: 'a', mode: 0o644 });
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
 * Ends a network's dnsmasq. It holds no port any more when this returns. Throws VirlanError 'wrong-state'.
 */
export async function stopDnsmasq(pid: number, bridge: string): Promise<void> {
  // systemd would start again what is killed.
  if (readFileOrNull(`/proc/${pid}/cgroup`)?.includes(`/${unitOf(bridge)}`)) {
    await run('systemctl', ['stop', unitOf(bridge)]);
    return;
  }
  process.kill(pid, 'SIGTERM');
  if (!(await endsInTime(pid))) {
    process.kill(pid, 'SIGKILL');
    if (!(await endsInTime(pid))) {
      const message = `dnsmasq of ${bridge}, process ${pid}, does not end: kill it by hand`;
      throw new VirlanError('wrong-state', message);
    }
  }
  rmSync(dnsmasqPaths(bridge).pid, { force: true });
}

/** A bridge's name holds nothing that systemd would want escaped: `parseLinkName` sees to that. */
function unitOf(bridge: string): string {
  return `virlan-dnsmasq@${bridge}.service`;
}

/**
 * The unit runs as dnsmasq's own user; with a configuration made by hand, or without that user, it is not
 * used.
 */
function hasUnit(bridge: string): boolean {
  if (!existsSync(systemdDirectory) || !existsSync(unitFile)) return false;
  const conf = readFileOrNull(dnsmasqPaths(bridge).conf) ?? '';
  return isWrittenByVirlan(conf) && conf.includes('\nuser=dnsmasq\n');
}

/** dnsmasq returns when it has bound its ports. A configuration made by hand names no pid file. */
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

async function startUnit(unit: string): Promise<StartFailure | null> {
  try {
    await run('systemctl', ['start', unit]);
    return null;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const [exitCode, reason] = await Promise.all([unitExitCode(unit), loggedReason(unit)]);
    // systemd would restart it for ever.
    await runOrNull('systemctl', ['stop', unit]);
    if (reason === null) return { message: error.message, exitCode, cause: error };
    const message = `${unit}: ${reason}`;
    return { message, exitCode, cause: new VirlanError('command', message, { cause: error }) };
  }
}

/**
 * Returns the exit code of the unit's command: of a forking service systemd keeps it with ExecStart alone.
 */
async function unitExitCode(unit: string): Promise<number | null> {
  const shown = await runOrNull('systemctl', ['show', unit, '--property=ExecStart']);
  const [, status] = /code=exited ; status=(\d+)/.exec(shown ?? '') ?? [];
  return status === undefined ? null : Number(status);
}

/** Returns what dnsmasq wrote to its standard error when it failed: systemctl shows the exit code alone. */
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
