// running.ts: what an upgrade of a package must not change, and what it must.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { processes } from '../../sandbox/snapshot.ts';
import { until } from '../../sandbox/until.ts';
import { virlan } from '../../sandbox/virlan.ts';
import { bridgeLinks, property, timeoutSeconds } from '../booted.ts';

/** Resolves when the networks are as virlan.ini wants them. */
export function isEstablished(): Promise<void> {
  return until(async () => (await virlan('plan')).exitCode === 0, timeoutSeconds);
}

/** Checks that systemd runs the watcher, and starts it at each boot. */
export async function assertService(): Promise<void> {
  assert.deepEqual(
    await Promise.all(['ActiveState', 'UnitFileState'].map(name => property('virlan.service', name))),
    ['active', 'enabled'],
  );
}

/** Upgrades a package, and checks that the watcher is a new one, and that machines and network are the same. */
export async function assertUpgraded(upgrade: () => Promise<unknown>): Promise<void> {
  const expected = await running();
  const watcher = await property('virlan.service', 'MainPID');
  await upgrade();
  assert.deepEqual(await running(), expected);
  await until(async () => (await property('virlan.service', 'ActiveState')) === 'active', timeoutSeconds);
  assert.notEqual(await property('virlan.service', 'MainPID'), watcher);
  assert.doesNotMatch(readFileSync('/usr/lib/virlan/bin/hook.cjs', 'utf8'), /\/\/ before\n$/);
  await isEstablished();
}

async function running() {
  return {
    machines: processes('qemu-system-x86_64').map(({ pid }) => pid),
    links: await bridgeLinks(),
    dnsmasq: await property('virlan-dnsmasq@k8s-br0.service', 'MainPID'),
  };
}
