import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  allIsWell,
  askInternet,
  clear,
  configureBackend,
  leftBehind,
  networkStatus,
  populate,
  servePorts,
} from './beside.ts';
import { installFirewalls, startDocker, startFirewalld, stop, ufw } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, planned, up } from './outcomes.ts';

const firewalls = suite('firewalls');
firewalls.before(async () => {
  await installVirlan();
  await installFirewalls();
  await servePorts();
});
firewalls.after.each(clear);

interface Other {
  readonly start: () => Promise<unknown>;
  readonly reload: () => Promise<unknown>;
  readonly restart: () => Promise<unknown>;
  readonly stop: () => Promise<unknown>;
  /** What becomes of machines' packets when it starts after virlan, before virlan has looked again. */
  readonly atItsStart: 'open' | 'timeout';
}

const others: Record<'ufw' | 'firewalld' | 'docker', Other> = {
  ufw: {
    start: () => ufw('--force', 'enable'),
    reload: () => ufw('reload'),
    restart: () => ufw('disable').then(() => ufw('--force', 'enable')),
    stop: () => ufw('disable'),
    atItsStart: 'timeout',
  },
  firewalld: {
    start: startFirewalld,
    reload: () => execa('firewall-cmd', ['--reload']),
    restart: () => stop('firewalld').then(startFirewalld),
    stop: () => stop('firewalld'),
    // It finds the zone that virlan has written.
    atItsStart: 'open',
  },
  docker: {
    start: startDocker,
    reload: () => execa('sh', ['-c', 'kill -HUP "$(cat /run/docker.pid)"']),
    restart: () => stop('dockerd').then(startDocker),
    stop: () => stop('dockerd'),
    atItsStart: 'timeout',
  },
};

const linesIn = async (name: string) =>
  (await networkStatus()).otherFirewalls.find(other => other.name === name)?.rules.length;

for (const [name, other] of Object.entries(others)) {
  firewalls(
    `${name} is there first, reloads, restarts, stops, and is forgotten when it is gone`,
    async () => {
      await other.start();
      await configureBackend('nftables');
      await up();
      const scene = await populate();
      await allIsWell(scene);
      assert.deepEqual(await planned(), []);
      assert(Number(await linesIn(name)) > 0);
      await other.reload();
      await allIsWell(scene);
      await other.restart();
      await allIsWell(scene);
      // firewalld flushes the tables of iptables when it starts, and the rule for the checksum with them.
      await up();
      assert.deepEqual(await planned(), []);
      await other.stop();
      await allIsWell(scene);
      await down();
      assert.deepEqual(await leftBehind(), []);
    },
  );

  firewalls(`${name} comes later, is flushed, and is told to forget while it runs`, async () => {
    await configureBackend('nftables');
    await up();
    const scene = await populate();
    await allIsWell(scene);
    // Docker forwards nothing but its own where it had to switch forwarding on.
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
    await other.start();
    writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
    assert.equal(await askInternet(scene), other.atItsStart);
    await up();
    await allIsWell(scene);
    assert.deepEqual(await planned(), []);

    for (const table of ['filter', 'nat', 'mangle']) await execa('iptables', ['-t', table, '-F']);
    await up();
    await allIsWell(scene);
    assert.deepEqual(await planned(), []);
    await execa('nft', ['flush', 'ruleset']);
    await up();
    await allIsWell(scene);

    await other.restart();
    await up();
    await allIsWell(scene);
    await down();
    assert.deepEqual(await leftBehind(), []);
  });

  firewalls(`${name} beside virlan's rules of iptables`, async () => {
    await other.start();
    await configureBackend('iptables');
    await up();
    const scene = await populate();
    await allIsWell(scene);
    await other.restart();
    await up();
    await allIsWell(scene);
    assert.deepEqual(await planned(), []);
    await down();
    assert.deepEqual(await leftBehind(), []);
  });
}

for (const pair of [
  ['ufw', 'docker'],
  ['docker', 'firewalld'],
  ['firewalld', 'ufw'],
] as const) {
  firewalls(`${pair.join(' and ')} together`, async () => {
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

firewalls('a ufw that was removed without its configuration keeps nothing of virlan', async () => {
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

firewalls.run();
