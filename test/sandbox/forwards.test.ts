// Port forwards with real connections: from every place, in both backends, with and without br_netfilter.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { type RunningMachine, startGuest } from './forwarding.ts';
import {
  configure,
  dhcp,
  host,
  installVirlan,
  internet,
  type Linked,
  type Namespace,
  probe,
  seenAs,
  serve,
  virlan,
} from './host.ts';
import { resetHost } from './reset-host.ts';

const forwards = suite('forwards');
const uplink = '203.0.113.1';
const gateway = '192.168.100.1';

forwards.before(installVirlan);

interface Scenario {
  readonly web: RunningMachine;
  readonly db: RunningMachine;
  readonly lab: RunningMachine;
  readonly outside: Linked;
}

async function establish(firewall: string, ...lines: readonly string[]): Promise<void> {
  const sections = [
    ['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines],
    ['[network.lab]', 'stp = no', `firewall = ${firewall}`, 'subnet = 192.168.200.0/24'],
  ];
  await configure(sections.flat().join('\n'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 0, stderr);
}

function setBridgeNetfilter(value: '0' | '1'): void {
  writeFileSync('/proc/sys/net/bridge/bridge-nf-call-iptables', value);
}

const webForwards = ['port="8443" to="443"', 'protocol="udp" port="8443" to="443"'];

async function addMachines(): Promise<Scenario> {
  const outside = await internet();
  const [web, db, lab] = [
    await startGuest('web', { digit: 'a', forwards: webForwards }),
    await startGuest('db', { digit: 'b' }),
    await startGuest('lab', { digit: 'c', bridge: 'lab' }),
  ];
  await Promise.all([dhcp(web), dhcp(db), dhcp(lab)]);
  return { web, db, lab, outside };
}

for (const firewall of ['nftables', 'iptables']) {
  forwards(
    `${firewall}: a forward is reached from everywhere, and keeps the address of outsiders`,
    async () => {
      await establish(firewall, 'localhost = yes');
      const { web, db, lab, outside } = await addMachines();
      const servers = await Promise.all(
        (['tcp', 'udp'] as const).map(proto => serve(web, { proto, port: 443 })),
      );
      const places: [from: Namespace, to: string, seen: RegExp][] = [
        [outside, uplink, /^203\.0\.113\.2$/],
        [host, uplink, /^203\.0\.113\.1$/],
        [host, gateway, /^192\.168\.100\.1$/],
        [host, '127.0.0.1', /^192\.168\.100\.1$/],
        [db, uplink, /^192\.168\.100\./],
        [db, gateway, /^192\.168\.100\./],
        [lab, uplink, /^192\.168\.100\.1$/],
        [web, uplink, /^192\.168\.100\.1$/],
        [web, gateway, /^192\.168\.100\.1$/],
      ];
      for (const value of ['0', '1'] as const) {
        setBridgeNetfilter(value);
        assert.equal((await virlan('up')).exitCode, 0);
        await Promise.all(
          places.map(async ([from, to, seen]) => {
            for (const proto of ['tcp', 'udp'] as const) {
              const peer = await seenAs(from, { proto, to, port: 8443 });
              assert.match(peer.address, seen, `${from.name} to ${to}, ${proto}, bridge-nf ${value}`);
            }
          }),
        );
        assert.equal((await virlan('plan')).exitCode, 0);
      }
      // Not the machine's own port, nor others.
      assert.equal(await probe(outside, { proto: 'tcp', to: uplink, port: 443 }), 'tcp-reset');
      await Promise.all(servers.map(server => server.stop()));
    },
  );
}

forwards.after.each(async () => {
  setBridgeNetfilter('0');
  for (const name of ['web', 'db', 'lab', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

forwards.run();
