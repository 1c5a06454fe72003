// Invalid configuration, damaged state files, malformed hook input and wrong usage.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { type HookRun, prepare, runHook } from './hook-calls.ts';
import { configure, domainXml, installVirlan, type Outcome, virlan } from './host.ts';
import { errorLines } from './log.ts';
import { resetHost } from './reset-host.ts';
import { changesSince, processes, snapshot } from './snapshot.ts';
import { down, up } from './virlan-commands.ts';

const errors = suite('config errors');
errors.after.each(resetHost);

const ini = '/etc/virlan/virlan.ini';
const verbs = ['up', 'plan', 'status'];
const network = '[network.k8s-br0]\n';
const host = '[host.printer]\nnetwork = k8s-br0\nmac = 52:54:00:00:00:10\nip = 192.168.100.10\n';
const machine = {
  name: 'web',
  uuid: '00000000-0000-4000-8000-00000000000a',
  nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac: '52:54:00:00:00:0a' }],
};
const log = '/var/log/virlan.log';

/**
 * Invalid virlan.ini files: text, line number of the mistake, and the part of the line that the message
 * quotes.
 */
const invalidFiles: [text: string, line: number, quoted: string][] = [
  ['stp = no\n', 1, 'stp = no'],
  ['[netwrk.lab]\n', 1, '[netwrk.lab]'],
  ['[network.]\n', 1, '[network.]'],
  ['[network.default]\n', 1, '[network.default]'],
  ['[network.much-too-long-a-name]\n', 1, '[network.much-too-long-a-name]'],
  [`${network}${network}`, 2, '[network.k8s-br0]'],
  [`${network}; a comment\n\nsubnt = 10.0.0.0/24\n`, 4, 'subnt'],
  [`${network}stp\n`, 2, 'stp'],
  [`${network}stp = no\nstp = yes\n`, 3, 'stp'],
  ...[
    'bridge = sixteen-bytes-xx',
    'bridge = a/b',
    'subnet = lan',
    'subnet = 192.168.100.1/24',
    'subnet = 192.168.100.0/30',
    'subnet = fd00::/64',
    'dhcp-range = 192.168.100.2',
    'dhcp-range = 192.168.100.9-192.168.100.2',
    'dhcp-range = 192.168.100.1-192.168.100.9',
    'dhcp-range = 10.0.0.2-10.0.0.9',
    'dhcp-range = 192.168.100.2-192.168.100.255',
    'stp = maybe',
    'mtu = 9',
    'mtu = 70000',
    'firewall = ufw',
    'host-access = ssh',
    'host-allow = 5000',
    'host-allow = tcp/70000',
    'host-firewall = lax',
    'domain = two..dots',
    'dns = nowhere',
    'dns = 192.168.100.1',
    'mac = random',
    'default-network = never',
    'lease-time = 30s',
    'on-error = panic',
  ].map((line): [string, number, string] => [`${network}${line}\n`, 2, line]),
  [`${network}[network.lab]\n`, 2, 'subnet = 192.168.100.0/24'],
  [`${network}[network.lab]\nsubnet = 192.168.0.0/16\n`, 3, 'subnet = 192.168.0.0/16'],
  [`${network}[network.lab]\nsubnet = 10.0.0.0/24\nbridge = k8s-br0\n`, 4, 'bridge = k8s-br0'],
  [host.replace('k8s-br0', 'lab'), 2, 'network = lab'],
  [`${network}${host.replace(/mac.*\n/, '')}`, 2, '[host.printer]'],
  [`${network}${host.replace('52', '53')}`, 4, 'mac = 53:54:00:00:00:10'],
  [`${network}${host.replace('.100.10', '.101.10')}`, 5, 'ip = 192.168.101.10'],
  [`${network}${host.replace('.100.10', '.100.1')}`, 5, 'ip = 192.168.100.1'],
  [
    `${network}${host}${host.replace('printer', 'scanner').replace('0:10', '0:11')}`,
    9,
    'ip = 192.168.100.10',
  ],
  [
    `${network}${host}${host.replace('printer', 'scanner').replace('.10\n', '.11\n')}`,
    8,
    'mac = 52:54:00:00:00:10',
  ],
];

/** Asserts exit code 1, no standard output, and one line on standard error: `beginning` and more text. */
function assertRefused({ exitCode, stdout, stderr }: Outcome, beginning: string): void {
  assert.deepEqual([exitCode, stdout, stderr.split('\n').length], [1, '', 1], stderr);
  assert.equal(stderr.slice(0, beginning.length), beginning);
  assert(stderr.length > beginning.length + 10, stderr);
}

/** Runs a hook, asserts that it succeeds, and returns the error messages that it logged. */
async function loggedErrors(hook: () => Promise<HookRun>): Promise<unknown[]> {
  writeFileSync(log, '');
  const { exitCode, stderr } = await hook();
  assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: '' });
  return errorLines().map(({ msg }) => msg);
}

async function assertHooksSucceed(logged: RegExp): Promise<void> {
  for (const hook of [() => runHook('daemon', ['-', 'start', '-', 'start']), () => prepare(machine)]) {
    assert.match((await loggedErrors(hook)).join('\n'), logged);
  }
}

errors('each mistake in virlan.ini is reported with file, line and key, and nothing is changed', async () => {
  await installVirlan();
  await configure('');
  const before = await snapshot();
  for (const [text, line, quoted] of invalidFiles) {
    await configure(text);
    const outcomes = await Promise.all(verbs.map(verb => virlan(verb)));
    for (const outcome of outcomes) assertRefused(outcome, `virlan: ${ini}:${line}: ${quoted}: `);
  }
  assert.deepEqual(await changesSince(before, /virlan.ini/), []);
});

errors('several mistakes are reported with a line each', async () => {
  await configure(`${network}stp = maybe\nmtu = 9\n[host.printer]\n`);
  const { exitCode, stderr } = await virlan('up');
  const places = stderr.split('\n').map(line => /^virlan: \S+\.ini:(\d+): \S/.exec(line)?.[1]);
  assert.deepEqual([exitCode, places], [1, ['2', '3', '4', '4', '4']]);
});

errors('an unreadable virlan.ini is not taken for an empty one', async () => {
  rmSync(ini, { force: true });
  mkdirSync(ini);
  const before = await snapshot();
  for (const verb of verbs) assertRefused(await virlan(verb), `virlan: ${ini}: cannot be read: `);
  assert.deepEqual(await changesSince(before), []);
  await assertHooksSucceed(/virlan.ini: cannot be read/);
});

errors('the file of --config must exist', async () => {
  assertRefused(
    await virlan('plan', '--config', '/etc/virlan/none.ini'),
    'virlan: /etc/virlan/none.ini: does not exist: ',
  );
});

errors('hooks succeed with an invalid virlan.ini and log the mistake', async () => {
  await configure(`${network}stp = maybe\n`);
  const before = await snapshot();
  await assertHooksSucceed(/virlan.ini:2: stp = maybe: /);
  assert.deepEqual(await changesSince(before), []);
});

const ledger = '/var/lib/virlan/ledger.jsonl';
const machineFile = `/var/lib/virlan/ledger/machines/${machine.uuid}.json`;
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';
const damages: { title: string; path: string; damage: (intact: Buffer) => Buffer; seen: string }[] = [
  {
    title: 'ledger: garbage',
    path: ledger,
    damage: () => Buffer.from([0, 255, 254, 10, 7]),
    seen: 'line 1 ',
  },
  {
    title: "a machine's file: truncated",
    path: machineFile,
    damage: intact => intact.subarray(0, -9),
    seen: 'not a JSON object',
  },
  {
    title: "a machine's file: a wrong value",
    path: machineFile,
    damage: intact => Buffer.from(`${intact}`.replace('"nic": 0', '"nic": "zero"')),
    seen: 'entry 1 has no valid "nic"',
  },
  {
    title: "a machine's file: a block of zeros, as after a power failure",
    path: machineFile,
    damage: () => Buffer.alloc(512),
    seen: 'not a JSON object',
  },
  {
    title: 'hostsfile: garbage',
    path: hostsfile,
    damage: () => Buffer.from([49, 10, 0, 255, 254, 10, 7]),
    seen: 'line 2 ',
  },
  {
    title: 'hostsfile: not UTF-8',
    path: hostsfile,
    damage: intact => Buffer.concat([intact, Buffer.from([0xc3, 0x28])]),
    seen: 'line 2 ',
  },
];

for (const { title, path, damage, seen } of damages) {
  errors(`a damaged file is never overwritten: ${title}`, async () => {
    await configure(`${network}stp = no\n`);
    await up();
    assert.equal((await prepare(machine)).exitCode, 0);
    const damaged = damage(readFileSync(path));
    writeFileSync(path, damaged);
    const place = new RegExp(`${path}: ${seen}`);
    await assertHooksSucceed(place);
    for (const verb of ['up', 'plan']) {
      const { exitCode, stderr } = await virlan(verb);
      assert.deepEqual([exitCode, stderr.split('\n').length], [1, 1]);
      assert.match(stderr, place);
    }
    // The status shows what can be read, and the damage as a problem.
    const status = await virlan('status');
    assert.equal(status.exitCode, 0);
    assert.match(status.stdout, place);
    // Machines cannot start without their bridge.
    await down();
    await assertHooksSucceed(place);
    assert(existsSync('/sys/class/net/k8s-br0/bridge'));
    assert.equal(processes('dnsmasq').length, 1);
    assert.deepEqual(readFileSync(path), damaged);
  });
}

const xml = domainXml(machine);
const documents: { title: string; text: string }[] = [
  { title: 'nothing', text: '' },
  { title: 'truncated', text: xml.slice(0, 200) },
  { title: 'not XML', text: '\u0000\u0007{"name": "web"}' },
  { title: 'XML of a network', text: '<network><name>web</name></network>' },
  { title: '10 MiB', text: xml.replace('</name>', `${'x'.repeat(10 * 2 ** 20)}</name>`) },
];

errors('the hook succeeds with any XML', async () => {
  await configure(`${network}stp = no\n`);
  await up();
  for (const { title, text } of documents) {
    const before = await snapshot();
    const logged = await loggedErrors(() => runHook('qemu', ['web', 'prepare', 'begin', '-'], text));
    assert.equal(logged.length, 1, `${title}: ${logged}`);
    assert.deepEqual(await changesSince(before), []);
  }
});

errors('wrong usage: exit code 2 and one line with the right usage', async () => {
  for (const line of [
    '',
    'unknown',
    'up --unknown',
    'up --nic 1',
    'mac',
    'mac one two',
    'mac web --nic x',
    'status k8s-br0',
    'plan --config',
    'forget',
  ]) {
    const { exitCode, stdout, stderr } = await virlan(...line.split(' ').filter(word => word !== ''));
    assert.deepEqual([exitCode, stdout, stderr.split('\n').length], [2, '', 1], line);
    assert.match(stderr, /^virlan: .*(virlan |from 0 to 999)/);
  }
});

errors('help for every command, in lines of at most 80 columns', async () => {
  const { stdout } = await virlan('--help');
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name);
  assert(commands.includes('up') && commands.includes('forget'));
  for (const args of [[], ...commands.map(command => [command])]) {
    const help = await virlan(...args, '--help');
    assert.deepEqual([help.exitCode, help.stderr], [0, '']);
    assert.match(help.stdout, /^Usage: virlan /);
    assert.deepEqual(
      help.stdout.split('\n').filter(line => [...line].length > 80),
      [],
    );
  }
});

errors.run();
