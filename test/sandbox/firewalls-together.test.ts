import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { allIsWell, clear, configureBackend, leftBehind, populate, servePorts } from './firewall-scenario.ts';
import { installFirewalls, type Other, others, ufw } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, planned, up } from './virlan-commands.ts';

const together = suite('firewalls together');
together.before(async () => {
  await installVirlan();
  await installFirewalls();
  await servePorts();
});
together.after.each(clear);

for (const pair of [
  ['ufw', 'docker'],
  ['docker', 'firewalld'],
  ['firewalld', 'ufw'],
] as const) {
  together(`${pair.join(' and ')} together`, async () => {
    const [first, second] = pair.map(name => others[name]) as [Other, Other];
    await first.start();
    await configureBackend('nftables');
    await up();
    const scene = await populate();
    await second.start();
    await up();
    await allIsWell(scene);
    assert.deepEqual(await planned(), []);
    await first.restart();
    await second.reload();
    await up();
    await allIsWell(scene);
    await second.stop();
    await up();
    await allIsWell(scene);
    await down();
    assert.deepEqual(await leftBehind(), []);
  });
}

together('a ufw that was removed without its configuration keeps nothing of virlan', async () => {
  await ufw('allow', 'in', 'on', 'lo', 'comment', 'mine');
  await ufw('--force', 'enable');
  await configureBackend('nftables');
  await up();
  await ufw('disable');
  const before = await execa('grep', ['-c', '^### tuple', '/etc/ufw/user.rules']);
  assert(Number(before.stdout) > 1);
  renameSync('/usr/sbin/ufw', '/usr/sbin/ufw-gone');
  try {
    await down();
  } finally {
    renameSync('/usr/sbin/ufw-gone', '/usr/sbin/ufw');
  }
  assert.deepEqual(await leftBehind(), []);
  assert.match((await ufw('show', 'added')).stdout, /ufw allow in on lo comment 'mine'/);
});

together.run();
