// Translations of the administrator's: a source that he chooses for machines wins, and what he leads to the host arrives.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  probe,
  seenAs,
  serve,
  startLibvirtd,
  virlan,
} from './host.ts';
import { clearLegacy, type Flavour, useIptables } from './iptables-flavours.ts';
import { resetHost } from './reset-host.ts';
import { until } from './until.ts';
import { down, plan, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const nat = suite("the administrator's translations");

const [uplink, chosen, gateway] = ['203.0.113.1', '203.0.113.9', '192.168.100.1'];
const snat = `POSTROUTING -s 192.168.100.0/24 -o uplink -j SNAT --to-source ${chosen}`;
const ownChain = 'VIRLAN-POST-k8s-br0';

const kinds = [
  { firewall: 'nftables', flavour: 'nft' },
  { firewall: 'iptables', flavour: 'nft' },
  { firewall: 'iptables', flavour: 'legacy' },
] as const satisfies { firewall: string; flavour: Flavour }[];

let web: Guest;
let outside: Linked;

nat.before(async () => {
  await installVirlan();
  await Promise.all([22, 3128, 8080].map(port => serve(host, { proto: 'tcp', port })));
  await serve(host, { proto: 'udp', port: 3129 });
});
nat.after.each(async () => {
  for (const name of ['web', 'internet']) await execa('ip', ['netns', 'delete', name], { reject: false });
  await clearLegacy();
  await useIptables('nft');
  await resetHost();
});

function iptables(line: string): Promise<unknown> {
  return execa('iptables', ['-t', 'nat', ...line.split(' ')]);
}

async function saveOf(table: string): Promise<string[]> {
  return (await execa('iptables-save', ['-t', table])).stdout.split('\n');
}

function rulesOf(chain: string, lines: readonly string[]): string[] {
  return lines.filter(line => line.startsWith(`-A ${chain} `));
}

function write(firewall: string, ...lines: string[]): Promise<void> {
  return configure(['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, ...lines, ''].join('\n'));
}

/** Sets up the network, a machine and the internet, in which a server answers. */
async function establish(firewall: string, ...lines: string[]): Promise<void> {
  outside = await internet();
  await execa('ip', ['address', 'add', `${chosen}/24`, 'dev', 'uplink']);
  await write(firewall, ...lines);
  await up();
  await addMachine();
  await serve(outside, { proto: 'tcp', port: 80 });
}

async function addMachine(): Promise<void> {
  const mac = '52:54:00:00:00:0a';
  const nics = [{ type: 'bridge' as const, source: 'k8s-br0', mac }];
  assert.equal((await prepare({ name: 'web', nics })).exitCode, 0);
  web = await guest('web', { mac });
  await up();
  await dhcp(web);
}

const [clusterIp, nodePort] = ['10.96.0.1', 30_443];

/** Returns rules as kube-proxy makes them for services of the host's own address, such as that of its API server. */
const kubeProxyRules = `*nat
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-API - [0:0]
:KUBE-SVC-WEB - [0:0]
:KUBE-SEP-API - [0:0]
:KUBE-SEP-WEB - [0:0]
-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d ${clusterIp}/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-API
-A KUBE-SERVICES -d ${clusterIp}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport ${nodePort} -j KUBE-SVC-API
-A KUBE-SVC-API -j KUBE-SEP-API
-A KUBE-SVC-WEB -j KUBE-SEP-WEB
-A KUBE-SEP-API -p tcp -m tcp -j DNAT --to-destination ${uplink}:3128
-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination ${uplink}:8080
COMMIT
`;

/** Returns the address that the internet sees a new connection of the machine come from. */
async function source(): Promise<string> {
  return (await seenAs(web, { proto: 'tcp', to: internetAddress, port: 80 })).address;
}

/** Damages virlan's own rules so that they are loaded anew. */
function flushOwnRules(firewall: string): Promise<unknown> {
  return firewall === 'nftables'
    ? execa('nft', ['flush', 'chain', 'ip', 'virlan-k8s-br0', 'postrouting'])
    : iptables(`-F ${ownChain}`);
}

for (const { firewall, flavour } of kinds) {
  const title = flavour === 'nft' ? firewall : `${firewall}-${flavour}`;

  nat(`${title}: a source that the administrator chooses wins, whoever comes first`, async () => {
    await useIptables(flavour);
    await iptables(`-A ${snat}`);
    await establish(firewall);
    assert.equal(await source(), chosen, 'before up');
    await flushOwnRules(firewall);
    await up();
    assert.equal(await source(), chosen, 'repaired');
    await write(firewall, 'host-allow = tcp/5000');
    await up();
    assert.equal(await source(), chosen, 'another configuration');
    await down();
    await up();
    await execa('ip', ['link', 'set', 'veth-web', 'master', 'k8s-br0']);
    assert.equal(await source(), chosen, 'down and up');
    await iptables(`-D ${snat}`);
    assert.equal(await source(), uplink, 'without the rule');
    await iptables(`-A ${snat}`);
    await up();
    assert.equal(await source(), chosen, 'after up');
    assert.deepEqual(await plannedSteps(), []);
  });

  nat(`${title}: the rules of an earlier version are replaced`, async () => {
    await useIptables(flavour);
    await iptables(`-A ${snat}`);
    await establish(firewall);
    await loadEarlierRules(firewall);
    assert.equal(await source(), uplink, 'the earlier rules are not a trial');
    assert.match((await plannedSteps()).join('\n'), new RegExp(`^[+~] firewall \\(${firewall}\\) `));
    await up();
    assert.equal(await source(), chosen);
    assert.deepEqual(await plannedSteps(), []);
  });

  nat(`${title}: what the administrator leads to the host itself arrives`, async () => {
    await useIptables(flavour);
    await establish(firewall, 'host-access = minimal');
    await iptables('-A PREROUTING -i k8s-br0 -p tcp --dport 81 -j REDIRECT --to-ports 3128');
    await iptables('-A PREROUTING -i k8s-br0 -p udp --dport 82 -j REDIRECT --to-ports 3129');
    await iptables(`-A PREROUTING -d ${uplink} -p tcp --dport 9090 -j REDIRECT --to-ports 3128`);
    await iptables(`-A PREROUTING -d ${chosen} -p tcp --dport 9090 -j DNAT --to ${gateway}:3128`);
    const ask = (proto: 'tcp' | 'udp', to: string, port: number) => probe(web, { proto, to, port });
    assert.equal(await ask('tcp', internetAddress, 81), 'open');
    assert.equal(await ask('udp', internetAddress, 82), 'open');
    assert.equal(await ask('tcp', uplink, 9090), 'open');
    assert.equal(await ask('tcp', chosen, 9090), 'open');
    // The ports themselves are as closed as before.
    for (const [to, port] of [
      [gateway, 22],
      [gateway, 3128],
      [uplink, 3128],
      [uplink, 8080],
    ] as const)
      assert.equal(await ask('tcp', to, port), 'tcp-reset', `${to}:${port}`);
  });

  nat(`${title}: what software translates for everybody leads no machine to a closed port`, async () => {
    await useIptables(flavour);
    await establish(firewall, 'host-allow = tcp/8080');
    await execa('iptables-restore', ['--noflush'], { input: kubeProxyRules });
    const ask = (to: string, port: number) => probe(web, { proto: 'tcp', to, port });
    assert.notEqual(await ask(clusterIp, 443), 'open', 'a service');
    assert.notEqual(await ask(gateway, nodePort), 'open', 'a port of all nodes');
    await seenAs(host, { proto: 'tcp', to: clusterIp, port: 443 });
    assert.equal(await ask(clusterIp, 80), 'open', 'a service on a port that machines may reach');
    assert.deepEqual(await plannedSteps(), []);
  });

  nat(`${title}: no forward of virlan's leads to the host itself`, async () => {
    await useIptables(flavour);
    await establish(firewall, 'host-access = minimal', '', '[machine.db]', 'forward = tcp/2222:22');
    const mac = '52:54:00:00:00:0b';
    await prepare({ name: 'db', nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
    const ip = (await virlan('ip', 'db')).stdout.trim();
    // As the forward would if the host had the machine's address.
    await iptables(`-A PREROUTING -d ${gateway} -p tcp --dport 2222 -j DNAT --to ${ip}:22`);
    await execa('ip', ['address', 'add', `${ip}/32`, 'dev', 'k8s-br0']);
    assert.equal(await probe(web, { proto: 'tcp', to: gateway, port: 2222 }), 'timeout');
  });
}

nat('nftables: a source chosen in a table of the administrator’s wins, whoever comes first', async () => {
  const table = `table ip corp {
    chain post { type nat hook postrouting priority srcnat; oifname "uplink" snat to ${chosen}; }
  }`;
  await execa('nft', [table]);
  await establish('nftables');
  assert.equal(await source(), chosen, 'before up');
  await execa('nft', ['delete', 'table', 'ip', 'corp']);
  assert.equal(await source(), uplink, 'without the table');
  await execa('nft', [table]);
  assert.equal(await source(), chosen, 'after up');
});

nat('nftables: nor does such a table of nft', async () => {
  await establish('nftables');
  await execa('nft', [
    `table ip kube-proxy {
      chain endpoint { meta l4proto tcp dnat to ${uplink}:3128; }
      chain services { ip daddr . meta l4proto . th dport vmap { ${clusterIp} . tcp . 443 : goto endpoint }; }
      chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
      chain nat-output { type nat hook output priority -100; jump services; }
    }`,
  ]);
  assert.notEqual(await probe(web, { proto: 'tcp', to: clusterIp, port: 443 }), 'open');
  await seenAs(host, { proto: 'tcp', to: clusterIp, port: 443 });
});

nat("iptables: the watcher lets rules win that come behind virlan's, and moves for no others", async () => {
  await startLibvirtd();
  await establish('iptables');
  await startWatcher();
  const jump = async () => {
    const rules = rulesOf('POSTROUTING', await saveOf('nat'));
    return { at: rules.findIndex(rule => rule.endsWith(`-j ${ownChain}`)), of: rules.length };
  };
  for (const flavour of ['nft', 'legacy'] as const) {
    await useIptables(flavour);
    await up();
    assert.deepEqual(await jump(), { at: 0, of: 1 }, flavour);
    // Programs append such rules again and again.
    await iptables('-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE');
    await iptables(`-A POSTROUTING -s 10.8.0.0/24 -o uplink -j SNAT --to-source ${chosen}`);
    await iptables('-A POSTROUTING -o wg0 -j MASQUERADE');
    assert.deepEqual((await plan()).details, []);
    await iptables(`-A ${snat}`);
    await until(async () => (await jump()).at === 4);
    assert.equal(await source(), chosen);
    assert.deepEqual((await plan()).details, []);
    assert.deepEqual(await jump(), { at: 4, of: 5 });
    await execa(`iptables-${flavour}`, ['-t', 'nat', '-F', 'POSTROUTING']);
  }
  await stopWatcher();
});

/** Brings the host into the state that an earlier version left: masquerading before the administrator's rules. */
async function loadEarlierRules(firewall: string): Promise<void> {
  const record = '/run/virlan/k8s-br0.applied.json';
  const [now, before] =
    firewall === 'nftables'
      ? ['priority srcnat + 5;', 'priority srcnat;']
      : [`-A POSTROUTING -j ${ownChain}`, `-I POSTROUTING 1 -j ${ownChain}`];
  const applied = JSON.parse(readFileSync(record, 'utf8'));
  if (firewall === 'nftables') {
    const { stdout } = await execa('nft', ['list', 'table', 'ip', 'virlan-k8s-br0']);
    assert(stdout.includes(now), stdout);
    const earlier = `delete table ip virlan-k8s-br0\n${stdout.replace(now, before)}\n`;
    await execa('nft', ['-f', '-'], { input: earlier });
  } else {
    await iptables(`-D POSTROUTING -j ${ownChain}`);
    await iptables(before);
  }
  for (const rules of applied.rules) {
    rules.script = rules.script.replace(now, before);
    rules.listing = rules.listing.map((line: string) => line.replace('priority 105;', 'priority 100;'));
  }
  await execa('tee', [record], { input: JSON.stringify(applied) });
}

nat.run();
