import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { readFileOrNull } from '../system/files.ts';
import { run, runOrNull } from '../system/run.ts';
import { isWrittenByVirlan } from './conf.ts';
import { dnsmasqPaths } from './paths.ts';
import { findDyingDnsmasq, hasEnded } from './process.ts';

/** There where systemd is process 1: sd_booted(3). */
const systemdRuns = '/run/systemd/system';

const unitFile = '/usr/lib/systemd/system/virlan-dnsmasq@.service';

/** A bridge's name holds nothing that systemd would want escaped: `parseLinkName` sees to that. */
function unitOf(bridge: string): string {
  return `virlan-dnsmasq@${bridge}.service`;
}

/** Starts a network's dnsmasq, in its unit where systemd has one. It answers when this returns. */
export async function startDnsmasq(bridge: string): Promise<void> {
  const { conf, pid, hostsfile } = dnsmasqPaths(bridge);
  mkdirSync(dirname(pid), { recursive: true });
  writeFileSync(hostsfile, '', { flag: 'a', mode: 0o644 });
  const dying = findDyingDnsmasq(bridge);
  if (dying !== null) await endsInTime(dying);
  try {
    if (hasUnit(bridge)) return await startUnit(unitOf(bridge));
    // dnsmasq returns when it has bound its ports and reads requests. A configuration written by hand names no pid file.
    await run('dnsmasq', [`--conf-file=${conf}`, `--pid-file=${pid}`]);
  } catch (error) {
    const { message } = error as Error;
    if (!message.includes('in use')) throw error;
    throw new Error(`${message}: stop what listens there, "ss -lntup" shows it`);
  }
}

/** The unit has dnsmasq's own user; a configuration made by hand, or a host without that user, runs as it says itself. */
function hasUnit(bridge: string): boolean {
  if (!existsSync(systemdRuns) || !existsSync(unitFile)) return false;
  const conf = readFileOrNull(dnsmasqPaths(bridge).conf) ?? '';
  return isWrittenByVirlan(conf) && conf.includes('\nuser=dnsmasq\n');
}

async function startUnit(unit: string): Promise<void> {
  try {
    await run('systemctl', ['start', unit]);
  } catch (error) {
    const said = await lastWords(unit);
    // It would be tried again for ever.
    await runOrNull('systemctl', ['stop', unit]);
    throw said === null ? error : new Error(`${unit}: ${said}`);
  }
}

/** What dnsmasq said on its standard error when it failed; systemd tells the exit code alone. */
async function lastWords(unit: string): Promise<string | null> {
  await runOrNull('journalctl', ['--sync']);
  const journal = await runOrNull('journalctl', ['--quiet', '--output=cat', '--lines=10', '--unit', unit]);
  return journal?.split('\n').findLast(line => line.startsWith('dnsmasq: ')) ?? null;
}

/** How long dnsmasq may take to end before it is killed, in milliseconds, and how often that is looked at: it is no child, so nothing tells. */
const patience = { total: 2000, interval: 5 };

async function endsInTime(pid: number): Promise<boolean> {
  for (let waited = 0; !hasEnded(pid); waited += patience.interval) {
    if (waited === patience.total) return false;
    await new Promise(resolve => setTimeout(resolve, patience.interval));
  }
  return true;
}

/** Ends a network's dnsmasq. It holds no port any more when this returns. */
export async function stopDnsmasq(pid: number, bridge: string): Promise<void> {
  // systemd would start again what is killed.
  if (readFileOrNull(`/proc/${pid}/cgroup`)?.includes(`/${unitOf(bridge)}`)) {
    await run('systemctl', ['stop', unitOf(bridge)]);
    return;
  }
  process.kill(pid, 'SIGTERM');
  if (!(await endsInTime(pid))) {
    process.kill(pid, 'SIGKILL');
    if (!(await endsInTime(pid)))
      throw new Error(`dnsmasq of ${bridge}, process ${pid}, does not end: kill it by hand`);
  }
  rmSync(dnsmasqPaths(bridge).pid, { force: true });
}
