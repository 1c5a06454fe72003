// Policy routing by marks: rules of other programs mark packets, and routing rules lead them elsewhere.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import { networkStatus } from './firewall-scenario.ts';
import {
  configure,
  dhcp,
  type Guest,
  guest,
  installVirlan,
  internet,
  internetAddress,
  nameServer,
  probe,
  run,
  startLibvirtd,
  virlan,
} from './host.ts';
import { addSecondUplink } from './second-uplink.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const marked = suite('marked routes');

/** The router of the second uplink. It forwards nothing. */
const secondAddress = '198.51.100.2';

let web: Guest;

const ip = (...args: string[]) => execa('ip', args);

marked.before(async () => {
  await installVirlan();
  const outside = await internet();
  await nameServer(outside, internetAddress);
  await ip('netns', 'add', 'second');
  await addSecondUplink('second', 'eth0');
  await run({ name: 'second' }, 'sysctl', '-qw', 'net.ipv4.ip_forward=0');
  await ip('rule', 'add', 'fwmark', '0x20/0xff', 'lookup', '100', 'pref', '90');
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await startWatcher();
  web = await guest('web', { mac: '52:54:00:00:00:0a' });
  await dhcp(web);
});
marked.after.each(async () => {
  await ip('route', 'flush', 'table', '100');
  await execa('nft', ['-f', '-'], { input: 'table ip corp; delete table ip corp' });
});
marked.after(() => stopWatcher());

/** Loads rules of another program that mark packets before they are routed. */
function mark(...rules: string[]) {
  const chain = `chain early { type filter hook prerouting priority mangle; ${rules.map(rule => `${rule}; `).join('')}};`;
  return execa('nft', ['-f', '-'], { input: `table ip corp { ${chain} }` });
}

function answer(to = internetAddress) {
  return probe(web, { proto: 'icmp', to, seconds: 0.5 });
}

interface Check {
  readonly check: string;
  readonly state: string;
  readonly seen: string;
}

async function doctor() {
  const { checks, explanation } = JSON.parse((await virlan('doctor', '--json')).stdout);
  const stage = (name: string) => {
    const found = (checks as Check[]).find(({ check }) => check === name);
    return `${found?.state}: ${found?.seen}`;
  };
  return { stage, explanation };
}

const outgoing = 'iifname "k8s-br0" meta mark set 0x20';

marked(
  'answers that the mark of their connection leads elsewhere: named, with a command that works',
  async () => {
    await ip('route', 'add', 'default', 'via', internetAddress, 'table', '100');
    assert.equal(await answer(), 'open');
    await mark(`${outgoing} ct mark set 0x20`, 'iifname "uplink" meta mark set ct mark');
    assert.equal(await answer(), 'timeout');
    const seen = `the answer of ${internetAddress} has the mark 0x20, and leaves by uplink because of it`;
    const isNamed = async () => (await networkStatus()).problems.some(problem => problem.includes(seen));
    await until(isNamed, 60);
    const { explanation } = await doctor();
    assert.deepEqual([explanation.check, explanation.code], ['probe-return', 'routed-by-mark']);
    assert(explanation.seen.startsWith(seen), explanation.seen);
    await execa('sh', ['-c', explanation.fix.command]);
    assert.equal(await answer(), 'open');
    assert.equal((await doctor()).stage('probe-return'), `ok: ${internetAddress} answers`);
    await until(async () => !(await isNamed()), 60);
    await ip('rule', 'delete', 'pref', '89');
  },
);

marked(
  'packets that are refused because of their mark: named, with a command that shows the rule',
  async () => {
    await ip('route', 'add', 'blackhole', 'default', 'table', '100');
    await mark(outgoing);
    assert.equal(await answer(), 'timeout');
    const { explanation } = await doctor();
    assert.deepEqual([explanation.check, explanation.code], ['probe-forward', 'routed-by-mark']);
    assert.match(
      explanation.seen,
      /^a packet to 203\.0\.113\.2 has the mark 0x20, and is refused because of it/,
    );
    const { stdout } = await execa('sh', ['-c', explanation.fix.command]);
    assert.match(stdout, /^90:\s+from all fwmark 0x20\/0xff lookup 100/m);
  },
);

marked('another uplink because of a mark: the probe asks the next hop there', async () => {
  await ip('route', 'add', 'default', 'via', secondAddress, 'table', '100');
  await mark(outgoing);
  assert.equal(await answer(secondAddress), 'open');
  assert.equal(await answer(), 'timeout');
  const { stage } = await doctor();
  assert.deepEqual(
    [stage('probe-forward'), stage('probe-masquerade'), stage('probe-return')],
    ['ok: leaves by uplink2', 'ok: leaves with the address of the host', `ok: ${secondAddress} answers`],
  );
});

marked(
  'answers of the name server that a mark leads elsewhere: named, with a command that works',
  async () => {
    await ip('route', 'add', 'default', 'via', internetAddress, 'table', '100');
    const rule = ['OUTPUT', '-t', 'mangle', '-p', 'udp', '--sport', '53', '-j', 'MARK', '--set-mark', '0x20'];
    await execa('iptables', ['-A', ...rule]);
    const { explanation } = await doctor();
    assert.deepEqual([explanation.check, explanation.code], ['probe-dns', 'routed-by-mark']);
    assert.match(
      explanation.seen,
      /^the answer of 192\.168\.100\.1 has the mark 0x20, and leaves by uplink /,
    );
    await execa('sh', ['-c', explanation.fix.command]);
    assert.match((await doctor()).stage('probe-dns'), /^ok: /);
    await ip('rule', 'delete', 'pref', '89');
    await execa('iptables', ['-D', ...rule]);
    await ip('route', 'flush', 'table', '100');
  },
);

for (const [rule, kind] of [
  ['ipproto udp sport 53 prohibit', ' by udp from port 53'],
  ['ipproto tcp sport 53 lookup 100', ' by tcp from port 53'],
  ['sport 67 dport 68 blackhole', ' from port 67 to port 68'],
  ['uidrange 0-0 unreachable', ''],
] as const)
  marked(`a routing rule about answers of dnsmasq (${rule}): named, with a command that works`, async () => {
    await ip('route', 'add', 'default', 'via', internetAddress, 'table', '100');
    await ip('rule', 'add', ...rule.split(' '), 'pref', '95');
    const { explanation } = await doctor();
    assert.deepEqual([explanation.check, explanation.code], ['forwarding', 'answers-elsewhere']);
    const packets = `packets to machines${kind} `;
    assert(explanation.seen.startsWith(packets), explanation.seen);
    const isNamed = async () => (await networkStatus()).problems.includes(explanation.seen);
    await until(async () => (await networkStatus()).problems.some(text => text.startsWith(packets)), 30);
    await execa('sh', ['-c', explanation.fix.command]);
    assert.equal((await doctor()).explanation, null);
    await until(async () => !(await isNamed()), 30);
    for (const pref of ['95', '94']) await ip('rule', 'delete', 'pref', pref);
  });

marked.run();
