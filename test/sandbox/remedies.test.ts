// Each command that virlan proposes against another firewall is one that the firewall accepts.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { Drop, Packet } from '../../src/diagnosis/packet-drop.ts';
import { commandAgainst, commandThatShows } from '../../src/diagnosis/words/drop-remedy.ts';
import { commandForMachine } from '../../src/diagnosis/words/machine-remedy.ts';
import { type Chain, hooksOnTheWay } from '../../src/other-firewalls/model.ts';
import { proposedCommand } from '../../src/other-firewalls/unknown-chains.ts';
import { ip, mac } from '../unit/builders.ts';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  networkStatus,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls, startFirewalld, ufw } from './firewalls.ts';
import { installVirlan, virlan } from './host.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const remedies = suite('remedies');
const bridge = 'k8s-br0';

/** The links of a packet of machines, or to them, at each hook. */
const linksAt = {
  prerouting: [{ in: bridge, out: null }],
  input: [{ in: bridge, out: null }],
  forward: [
    { in: bridge, out: 'uplink' },
    { in: 'uplink', out: bridge },
  ],
  output: [{ in: null, out: bridge }],
  postrouting: [
    { in: null, out: bridge },
    { in: 'uplink', out: bridge },
  ],
} as const;

const packets: Packet['kind'][] = ['dhcp', 'dns', 'outgoing', 'returning', 'connecting', 'connected'];

const port = { bridge, tap: 'vnet0', mac: mac(1), ip: ip('192.168.100.7') };

/** The hooks of the chains that are built into iptables' tables (iptables(8)). */
const builtins = {
  filter: ['input', 'forward', 'output'],
  mangle: hooksOnTheWay,
  raw: ['prerouting', 'output'],
} as const;

function nft(input: string) {
  return execa('nft', ['-f', '-'], { input });
}

function succeeds(command: string) {
  return execa('sh', ['-c', command]);
}

remedies.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
remedies.after.each(resetScenario);

/** Returns the commands against a drop of each packet, by a rule and by the policy of a chain. */
function commandsAt(place: Pick<Drop, 'family' | 'table' | 'chain'>, hook: keyof typeof linksAt): string[] {
  return linksAt[hook].flatMap(links =>
    [null, 'drop'].flatMap(rule =>
      packets.flatMap(packet => {
        const command = commandAgainst({ ...place, rule, links }, packet, bridge);
        const ofMachine = commandForMachine({ ...place, rule, links }, packet, port);
        const isByProgram = place.table !== 'firewalld';
        assert(command, `${place.table} ${place.chain} ${packet} ${JSON.stringify(links)}`);
        assert.equal(ofMachine !== null, isByProgram);
        return [command, ...(ofMachine === null ? [] : [ofMachine])];
      }),
    ),
  );
}

remedies('iptables and nft accept each proposed command', async () => {
  const commands: string[] = [];
  for (const [table, hooks] of Object.entries(builtins)) {
    await execa('iptables', ['-t', table, '-N', 'corp']);
    for (const hook of hooks) {
      const name = hook.toUpperCase();
      commands.push(...commandsAt({ family: 'ip', table, chain: name }, hook));
      commands.push(...commandsAt({ family: 'ip', table, chain: 'corp' }, hook));
      const chain: Chain = { family: 'ip', table, name, hook, policy: 'drop' };
      commands.push(proposedCommand(bridge, chain) ?? assert.fail(name));
    }
  }
  // Not every kernel knows the bridge's name in the bridge family (nft_meta_bridge).
  for (const family of ['ip', 'inet'])
    for (const hook of hooksOnTheWay) {
      await nft(`table ${family} corp { chain ${hook} { type filter hook ${hook} priority 0; }; }`);
      commands.push(...commandsAt({ family, table: 'corp', chain: hook }, hook));
      const chain: Chain = { family, table: 'corp', name: hook, hook, policy: 'drop' };
      commands.push(proposedCommand(bridge, chain) ?? assert.fail(hook));
    }
  for (const command of new Set(commands)) await succeeds(command);
});

remedies('ufw and firewalld accept each proposed command', async () => {
  await ufw('--force', 'enable');
  const chains = {
    input: 'ufw-user-input',
    forward: 'ufw-reject-forward',
    output: 'ufw-skip-to-policy-output',
  };
  const commands = Object.entries(chains).flatMap(([hook, chain]) =>
    commandsAt({ family: 'ip', table: 'filter', chain }, hook as keyof typeof chains),
  );
  for (const command of new Set(commands)) await succeeds(command);
  await startFirewalld();
  const [command] = commandsAt({ family: 'inet', table: 'firewalld', chain: 'filter_FORWARD' }, 'forward');
  const zoneOf = async () => (await succeeds(`firewall-cmd --get-zone-of-interface=${bridge}`)).stdout;
  await succeeds(`firewall-cmd --permanent --zone=work --add-interface=${bridge}`);
  await succeeds('firewall-cmd --reload');
  assert.equal(await zoneOf(), 'work');
  await succeeds(command ?? '');
  assert.equal(await zoneOf(), 'trusted');
});

for (const { kind, source, setUp } of [
  { kind: 'a prefix', source: '192.168.0.0/16', setUp: [] },
  {
    kind: 'a set of addresses',
    source: 'ipset:lan',
    setUp: ['--new-ipset=lan --type=hash:net', '--ipset=lan --add-entry=192.168.96.0/20'],
  },
])
  remedies(
    `a source of a zone of firewalld that has the machines' addresses, ${kind}, is named`,
    async () => {
      await startFirewalld();
      await configureBackend('nftables');
      for (const change of [...setUp, `--zone=internal --add-source=${source}`])
        await succeeds(`firewall-cmd -q --permanent ${change}`);
      await succeeds('firewall-cmd -q --reload');
      await up();
      const scenario = await addMachines();
      const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
      assert.equal(explanation.code, 'dropped-by-zone', JSON.stringify(explanation));
      assert(explanation.seen.includes(`${source} of firewalld's zone internal`), explanation.seen);
      await succeeds(explanation.fix.command);
      await assertConnectivity(scenario);
      await down();
    },
  );

remedies('the rule that drops an answer of the outside before its route is known is shown', async () => {
  const links = { in: 'uplink', out: null };
  const rule = '-s 203.0.113.77/32 -j DROP';
  const places = ['raw', 'mangle'].map(table => ({ family: 'ip', table, chain: 'PREROUTING' }));
  for (const { table, chain } of places) await succeeds(`iptables -t ${table} -A ${chain} ${rule}`);
  await nft(
    'table inet corp { chain first { type filter hook prerouting priority -300; ip saddr 203.0.113.77 drop; }; }',
  );
  await nft(
    'table ip first { chain nat { type nat hook prerouting priority -100; ip saddr 203.0.113.77 drop; }; }',
  );
  const ofNft = [
    { family: 'inet', table: 'corp', chain: 'first' },
    { family: 'ip', table: 'first', chain: 'nat' },
  ];
  for (const place of [...places, ...ofNft]) {
    const drop: Drop = { ...place, rule, links };
    assert.equal(commandAgainst(drop, 'returning', bridge), null);
    const { stdout } = await succeeds(commandThatShows(drop));
    assert.match(stdout, /203\.0\.113\.77.*(-j DROP|drop # handle \d+)/, commandThatShows(drop));
  }
});

for (const firewall of ['nftables', 'iptables'] as const) {
  remedies(`ufw that denies outgoing packets, beside ${firewall}: machines have all they need`, async () => {
    await ufw('default', 'deny', 'outgoing');
    await ufw('--force', 'enable');
    await configureBackend(firewall);
    await up();
    // The host's own way out, which its tests and its dnsmasq need.
    await ufw('allow', 'out', 'on', 'uplink');
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    assert.deepEqual(await plannedSteps(), []);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });

  remedies(
    `chains for outgoing packets that drop, beside ${firewall}, are named with a command`,
    async () => {
      await execa('iptables', ['-A', 'OUTPUT', '-o', 'uplink', '-j', 'ACCEPT']);
      await execa('iptables', ['-A', 'OUTPUT', '-o', 'lo', '-j', 'ACCEPT']);
      await execa('iptables', ['-P', 'OUTPUT', 'DROP']);
      await nft(`table inet kill { chain out { type filter hook output priority 5; policy drop;
      oifname { "lo", "uplink" } accept; }; chain pre { type filter hook prerouting priority -150;
      policy drop; iifname { "lo", "uplink" } accept; }; }`);
      await configureBackend(firewall);
      assert.equal((await virlan('up')).exitCode, 0);
      const proposals = async () =>
        (await networkStatus()).problems.flatMap(
          problem => / unless a rule of its own accepts them: (.*)$/.exec(problem)?.[1] ?? [],
        );
      const commands = await proposals();
      assert.deepEqual(
        ['OUTPUT', 'kill out', 'kill pre'].map(name => commands.some(command => command.includes(name))),
        [true, true, true],
      );
      for (const command of commands) await succeeds(command);
      assert.deepEqual(await proposals(), []);
      await assertConnectivity(await addMachines());
      await down();
    },
  );
}

for (const [firewall, add, place] of [
  [
    'nftables',
    'nft insert rule ip virlan-k8s-br0 forward iifname k8s-br0 ip daddr 203.0.113.2 drop',
    'ip virlan-k8s-br0 forward',
  ],
  [
    'iptables',
    'iptables -I VIRLAN-FWD-k8s-br0 -i k8s-br0 -d 203.0.113.2 -j DROP',
    'ip filter VIRLAN-FWD-k8s-br0',
  ],
] as const)
  remedies(
    `a rule of virlan itself that drops what machines send, in ${firewall}, is shown only`,
    async () => {
      await configureBackend(firewall);
      await up();
      await addMachines();
      await succeeds(add);
      const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
      const found = checks.find(({ check }: { check: string }) => check === 'probe-forward');
      assert.equal(found.code, 'dropped-by-virlan', JSON.stringify(found));
      assert(
        found.seen.includes(`${place}: `) && found.seen.includes('mode, outside, uplink and reaches'),
        found.seen,
      );
      assert.equal(found.fix.mends, false);
      assert.match((await succeeds(found.fix.command)).stdout, /203\.0\.113\.2/);
      await down();
    },
  );

remedies('the command for a link on the way that does not forward turns its forwarding on', async () => {
  await configureBackend('nftables');
  await up();
  const scenario = await addMachines();
  await execa('sysctl', ['-qw', 'net.ipv4.conf.uplink.forwarding=0']);
  const { explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
  assert.equal(explanation.code, 'link-forwarding-off');
  await succeeds(explanation.fix.command);
  assert.equal(readFileSync('/proc/sys/net/ipv4/conf/uplink/forwarding', 'utf8'), '1\n');
  await assertConnectivity(scenario);
});

remedies('the command for a full table of connections raises its limit', async () => {
  await configureBackend('nftables');
  await up();
  // A network namespace may not change the limit, so files stand for it and for the count.
  const values = { nf_conntrack_max: '64', nf_conntrack_count: '64' };
  for (const [name, value] of Object.entries(values)) {
    writeFileSync(`/tmp/${name}`, `${value}\n`);
    await execa('mount', ['--bind', `/tmp/${name}`, `/proc/sys/net/netfilter/${name}`]);
  }
  const explain = async () => JSON.parse((await virlan('doctor', '--json')).stdout).explanation;
  const explained = await explain();
  assert.equal(explained?.code, 'conntrack-full');
  await succeeds(explained.fix.command);
  assert(Number(readFileSync('/tmp/nf_conntrack_max', 'utf8')) > 64);
  assert.notEqual((await explain())?.code, 'conntrack-full');
  for (const name of Object.keys(values)) await execa('umount', [`/proc/sys/net/netfilter/${name}`]);
});

remedies.run();
