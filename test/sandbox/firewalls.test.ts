import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
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
} from './firewall-scenario.ts';
import { installFirewalls, others } from './firewalls.ts';
import { installVirlan } from './host.ts';
import { down, planned, up } from './virlan-commands.ts';

const firewalls = suite('firewalls');
firewalls.before(async () => {
  await installVirlan();
  await installFirewalls();
  await servePorts();
});
firewalls.after.each(clear);

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

firewalls.run();
