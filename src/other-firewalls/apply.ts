import { existsSync, rmSync, statSync } from 'node:fs';
import { readFileOrNull, writeAtomically } from '../system/files.ts';
import { isInstalled, run } from '../system/run.ts';
import { parseZoneLine, trusted, zoneFile, zoneName } from './firewalld.ts';
import { isRule, replaceRules } from './marked-rules.ts';
import type { Firewall } from './model.ts';
import { reload, ufwArguments, withoutTuples } from './ufw.ts';

export const firewalldZones = '/etc/firewalld/zones';

export const ufwFiles = {
  conf: '/etc/ufw/ufw.conf',
  rules: '/etc/ufw/user.rules',
  rules6: '/etc/ufw/user6.rules',
} as const;

/** How long another firewall may take to do one thing, in seconds. */
const patience = 4;

/** Puts lines into another program's place, so that they last and hold from now on. Throws when it refuses them. */
export async function allowIn(firewall: Firewall, bridge: string, lines: readonly string[]): Promise<void> {
  switch (firewall) {
    case 'docker':
      return changeRules(lines, []);
    case 'ufw':
      await changeRules(lines.filter(isRule), []);
      for (const line of lines.filter(each => !isRule(each))) {
        if (line === reload) await run('ufw', ['reload']);
        else await run('ufw', [...ufwArguments(line), 'comment', `virlan-${bridge}`]);
      }
      return;
    case 'firewalld':
      for (const { zone, lasts } of lines.map(parseZoneLine)) {
        if (lasts) writeAtomically(`${firewalldZones}/${zone}.xml`, zoneFile(bridge));
        else await joinZone(bridge, zone);
      }
  }
}

/** Takes lines out of another program's place again, whether it runs or not. */
export async function withdrawFrom(
  firewall: Firewall,
  bridge: string,
  lines: readonly string[],
): Promise<void> {
  switch (firewall) {
    case 'docker':
      return changeRules([], lines);
    case 'ufw':
      await changeRules([], lines.filter(isRule));
      return withdrawFromUfw(
        bridge,
        lines.filter(line => !isRule(line)),
      );
    case 'firewalld':
      for (const { zone, lasts } of lines.map(parseZoneLine)) {
        if (lasts) rmSync(`${firewalldZones}/${zone}.xml`, { force: true });
        else await callZone('removeInterface', [zone, bridge], patience);
      }
  }
}

/** The zone that firewalld has a link in, '' for none. Throws when it does not answer in time. */
export async function askZone(link: string, seconds: number): Promise<string> {
  const answer: unknown = JSON.parse(await callZone('getZoneOfInterface', [link], seconds));
  const zone = (answer as { data?: unknown[] } | null)?.data?.[0];
  if (typeof zone !== 'string') throw new Error('an answer without a zone');
  return zone;
}

async function joinZone(bridge: string, zone: string): Promise<void> {
  try {
    await callZone('addInterface', [zone, bridge], patience);
  } catch (error) {
    // It reads files of zones when it starts or reloads.
    if (zone !== zoneName(bridge) || !(error as Error).message.includes('INVALID_ZONE')) throw error;
    await callZone('addInterface', [trusted, bridge], patience);
  }
}

/** firewalld.dbus(5). */
function callZone(method: string, args: readonly string[], seconds: number): Promise<string> {
  const name = 'org.fedoraproject.FirewallD1';
  const call = [name, '/org/fedoraproject/FirewallD1', `${name}.zone`, method, 's'.repeat(args.length)];
  const options = ['--json=short', '--auto-start=no', `--timeout=${seconds}`];
  return run('busctl', [...options, 'call', ...call, ...args], '', seconds);
}

async function changeRules(missing: readonly string[], stale: readonly string[]): Promise<void> {
  if (missing.length + stale.length > 0)
    await run('iptables-restore', ['--noflush', '--wait', '5'], replaceRules(missing, stale));
}

async function withdrawFromUfw(bridge: string, tuples: readonly string[]): Promise<void> {
  if (isInstalled('ufw')) {
    for (const tuple of tuples) {
      const [first = '', ...rest] = ufwArguments(tuple);
      await run('ufw', first === 'route' ? ['route', 'delete', ...rest] : ['delete', first, ...rest]);
    }
    return;
  }
  // Removed without its configuration, which another ufw would find.
  for (const path of [ufwFiles.rules, ufwFiles.rules6].filter(existsSync)) {
    writeAtomically(path, withoutTuples(bridge, readFileOrNull(path) ?? ''), statSync(path).mode & 0o777);
  }
}
