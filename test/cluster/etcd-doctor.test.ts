// Three hosts that share their ledgers by a real etcd: what the doctor of the first says while etcd, clocks and hosts
// fail, and that the commands that it names do what they say.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { suite } from 'uvu';
import { type ClusterHost, lan, makeUnderlay } from '../sandbox/cluster-hosts.ts';
import { installVirlan, run } from '../sandbox/host.ts';
import { domainXml } from '../sandbox/machine.ts';
import { within } from '../sandbox/namespaces.ts';
import { checkout } from '../sandbox/virlan.ts';
import type { Check } from '../sandbox/virlan-commands.ts';
import {
  keysBelow,
  killMember,
  memberAddresses,
  password,
  pauseMember,
  programs,
  putKey,
  sharedIni,
  startEtcd,
  startMember,
} from './etcd.ts';
import {
  at,
  elsewhere,
  hosts,
  isConnected,
  machine,
  network,
  startHosts,
  startLibvirtd,
  until,
  virsh,
  writeXml,
} from './shared-hosts.ts';

const doctors = suite('doctor of a shared ledger');

const checks = ['etcd', 'clock', 'hosts', 'addresses'];

/** Returns the findings of a host's doctor about the shared ledger. Variables may give the doctor another time. */
async function findings(host: ClusterHost, ...variables: string[]): Promise<Check[]> {
  const command = ['virlan', 'doctor', '--json'];
  // The doctor fails for other checks, too.
  const output = await host.run('sh', '-c', '"$@" || true', 'sh', 'env', ...variables, ...command);
  const found = JSON.parse(output) as { checks: Check[] };
  return found.checks.filter(({ check }) => checks.includes(check));
}

/** Returns the findings that are not successes, as `STATE CODE`. A busy host may make each member slow. */
function troubles(found: readonly Check[]): string[] {
  return found
    .filter(({ state, code }) => state !== 'ok' && code !== 'etcd-slow')
    .map(({ state, code }) => `${state} ${code}`);
}

/** Waits until a host's doctor has exactly these troubles: a host counts as alive for 30 s after its watcher ended. */
async function untilTroubles(host: ClusterHost, ...expected: string[]): Promise<Check[]> {
  let found: Check[] = [];
  await until(async () => {
    found = await findings(host);
    return troubles(found).join() === expected.join();
  }).catch(() => assert.deepEqual(troubles(found), expected));
  return found;
}

/** Returns the first finding with a code. */
function withCode(found: readonly Check[], code: string): Check {
  const check = found.find(each => each.code === code);
  assert(check, `${code} is not in ${JSON.stringify(found, null, 1)}`);
  return check;
}

/** Types the command of a finding into a shell of a host. Returns its output. */
function type(host: ClusterHost, { fix }: Check): Promise<string> {
  assert(fix);
  // etcdctl asks for the password of root at a terminal, which a test has not.
  const command = fix.command.replace('--user=root ', `--user=root:'${password}' `);
  const script = `export ETCDCTL_API=3 PATH=${programs}:$PATH; { ${command}; } 2>&1 || true`;
  return host.run('sh', '-c', script);
}

doctors('a cluster that is well', async () => {
  await installVirlan();
  await makeUnderlay();
  await startEtcd();
  await startHosts();
  const found = await findings(at(0));
  assert.deepEqual(troubles(found), []);
  assert.deepEqual(
    found.map(({ check }) => check),
    ['etcd', 'etcd', 'etcd', 'clock', 'hosts', 'addresses'],
  );
});

doctors('the doctor writes nothing into etcd', async () => {
  const before = await keysBelow('/virlan/');
  await findings(at(0));
  assert.deepEqual(await keysBelow('/virlan/'), before);
});

doctors('a member that was killed is a warning, and no quorum a failure', async () => {
  await killMember(2);
  // The others elect a leader if it was that.
  const one = await untilTroubles(at(0), 'warn etcd-unreachable');
  assert.match(withCode(one, 'etcd-unreachable').seen, /10\.0\.0\.13:2379: connect ECONNREFUSED/);
  assert.match(await type(at(0), withCode(one, 'etcd-unreachable')), /^curl: \(7\) Failed to connect/);
  await killMember(1);
  const two = await findings(at(0));
  assert.deepEqual(troubles(two), [
    'fail etcd-no-quorum',
    'fail etcd-unreachable',
    'fail etcd-unreachable',
    'skipped etcd-not-read',
    'skipped etcd-not-read',
  ]);
  assert.match(
    withCode(two, 'etcd-no-quorum').seen,
    /^https:\/\/10\.0\.0\.11:2379 answers, and has no quorum/,
  );
  assert.match(await type(at(0), withCode(two, 'etcd-no-quorum')), /^\{"health":"false"\}\s+in \d/);
  startMember(1);
  startMember(2);
  for (const host of hosts) await until(() => isConnected(host));
  await untilTroubles(at(0));
});

doctors('a member that is cut off from this host, and one that is cut off from the others', async () => {
  await run({ name: 'etcd2' }, 'ip', 'link', 'set', lan, 'down');
  await untilTroubles(at(0), 'warn etcd-unreachable');
  await run({ name: 'etcd2' }, 'ip', 'link', 'set', lan, 'up');
  await untilTroubles(at(0));
  const drop = 'tcp dport 2380 drop; tcp sport 2380 drop;';
  const chains = ['input', 'output'].map(
    hook => `chain ${hook} { type filter hook ${hook} priority 0; ${drop} };`,
  );
  await run({ name: 'etcd1' }, 'nft', `table inet cut { ${chains.join(' ')} }`);
  // It hopes for a leader until its election timeout has passed.
  await untilTroubles(at(0), 'warn etcd-no-quorum');
  await run({ name: 'etcd1' }, 'nft', 'delete table inet cut');
  await untilTroubles(at(0));
});

const slowMember = { name: 'etcd2' };

/** Delays all that clients send to a member: this kernel may have no netem. */
async function startSlowness(): Promise<ChildProcess> {
  const address = memberAddresses[2];
  const script = `const { connect, createServer } = require('net');
createServer(client => {
  const server = connect(2379, '${address}').on('error', () => client.destroy());
  client.on('error', () => server.destroy()).on('close', () => server.destroy());
  client.on('data', data => setTimeout(() => server.write(data), 2500));
  server.pipe(client);
}).listen(23790, '${address}', () => console.log('ready'))`;
  const proxy = spawn(...within(slowMember, 'node', ['-e', script]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(proxy.stdout, 'data');
  const hook = 'type nat hook prerouting priority -100;';
  const rule = `tcp dport 2379 dnat to ${address}:23790;`;
  await run(slowMember, 'nft', `table ip slow { chain in { ${hook} ${rule} }; }`);
  return proxy;
}

doctors('a member that is slow, and one that hangs', async () => {
  const slowness = await startSlowness();
  const slow = (await findings(at(0))).filter(({ seen }) => seen.startsWith('https://10.0.0.13:2379 '));
  assert.match(withCode(slow, 'etcd-slow').seen, /took [2-4]\.\d s for a write, more than 2 s/);
  assert.match(await type(at(0), withCode(slow, 'etcd-slow')), /^\{"health":"true"\}\s+in [4-9]\./);
  slowness.kill();
  await run(slowMember, 'nft', 'delete table ip slow');
  pauseMember(2, 'SIGSTOP');
  const hung = await findings(at(0));
  pauseMember(2, 'SIGCONT');
  assert.match(withCode(hung, 'etcd-unreachable').seen, /10\.0\.0\.13:2379 did not answer within 5 s/);
  await untilTroubles(at(0));
});

doctors('a wrong password, a wrong certificate and a missing file', async () => {
  const cases: [key: RegExp, line: string, codes: string[], output: RegExp][] = [
    [
      /^password-file.*$/m,
      'password-file = /etc/virlan/other-ca.pem',
      Array(3).fill('fail etcd-auth'),
      /^User: virlan\nRoles: virlan$/,
    ],
    [
      /^ca.*$/m,
      'ca = /etc/virlan/other-ca.pem',
      Array(3).fill('fail etcd-tls'),
      /^curl: \(60\) SSL certificate problem/,
    ],
    [/^ca.*$/m, 'ca = /etc/virlan/none.pem', ['fail etcd-file'], /none\.pem.*No such file/],
  ];
  await at(2).endWatch();
  for (const [key, line, codes, output] of cases) {
    await at(2).configure(sharedIni(2).replace(key, line));
    const found = await findings(at(2));
    assert.deepEqual(
      troubles(found).filter(trouble => trouble.startsWith('fail')),
      codes,
      line,
    );
    const [first] = found;
    assert(first);
    assert.match(await type(at(2), first), output);
  }
  await at(2).configure(sharedIni(2));
  await untilTroubles(at(2), 'fail host-not-joined');
  await at(2).watch();
  await untilTroubles(at(2));
});

/** Variables with which a program has another time. */
async function atTime(host: ClusterHost, offset: string): Promise<string[]> {
  const library = await host.run(
    'sh',
    '-c',
    `ls ${checkout}/build/faketime/usr/lib/*/faketime/libfaketime.so.1`,
  );
  return [`LD_PRELOAD=${library}`, `FAKETIME=${offset}`, 'FAKETIME_DONT_FAKE_MONOTONIC=1'];
}

doctors('a clock that is wrong', async () => {
  // The doctor alone has another time: all hosts and members of the test have one clock.
  const ahead = await findings(at(0), ...(await atTime(at(0), '+1h')));
  assert.deepEqual(troubles(ahead), ['warn clock-of-host']);
  assert.match(
    withCode(ahead, 'clock-of-host').seen,
    /^the clock of this host is (3599|360[01]) s ahead of that of each member of etcd/,
  );
  const behind = await findings(at(0), ...(await atTime(at(0), '-12')));
  assert.deepEqual(troubles(behind), ['warn clock-of-host']);
  assert.deepEqual(troubles(await findings(at(0), ...(await atTime(at(0), '+5')))), []);
  // The certificates of the test are valid for two days.
  const expired = await findings(at(0), ...(await atTime(at(0), '+3d')));
  const { seen, fix } = withCode(expired, 'etcd-certificate-time');
  assert.match(seen, /certificate has expired/);
  assert.equal(fix?.command, 'timedatectl');
});

doctors('two hosts with one address of [cluster]', async () => {
  await at(2).configure(sharedIni(0));
  const found = await untilTroubles(at(2), 'fail host-twice');
  assert.match(await type(at(2), withCode(found, 'host-twice')), /10\.0\.0\.3\/24/);
  await at(2).configure(sharedIni(2));
  await untilTroubles(at(2));
});

doctors('a block of this host that etcd has as that of another', async () => {
  const [key = ''] =
    [...(await keysBelow('/virlan/100/block/'))].find(([, value]) => value.includes('10.0.0.1')) ?? [];
  await at(0).endWatch();
  // Simulates that etcd was restored from a backup, and another host claimed the block.
  await putKey(key, '{"host":"10.0.0.2"}');
  const found = await untilTroubles(at(0), 'fail host-not-joined', 'fail block-twice');
  assert.match(withCode(found, 'block-twice').seen, new RegExp(`from ${key.split('/').at(-1)} to `));
  // The command restarts the watcher.
  assert.equal(withCode(found, 'block-twice').fix?.command, 'systemctl restart virlan');
  await at(0).watch();
  await untilTroubles(at(0));
});

/** Starts a machine that asks for an address in its metadata. */
async function startWith(host: ClusterHost, name: string, ip: string): Promise<void> {
  const metadata = `<virlan:machine xmlns:virlan="urn:virlan:machine:1" ip="${ip}"/>`;
  const xml = domainXml({
    name,
    uuid: randomUUID(),
    nics: [{ type: 'bridge', source: 'k8s-br0' }],
    metadata,
  });
  await virsh(host, 'define', await writeXml(host, name, xml));
  await virsh(host, 'start', name);
  await until(async () => {
    const found = await machine(host, name);
    return found?.state === 'running' && found.ip === ip;
  });
}

doctors('two machines that run with one address, which two hosts gave while etcd was away', async () => {
  await startLibvirtd(at(0));
  await startLibvirtd(at(1));
  await killMember(0);
  await killMember(1);
  for (const host of hosts) await until(async () => !(await isConnected(host)));
  await startWith(at(0), 'one', '192.168.100.77');
  await startWith(at(1), 'two', '192.168.100.77');
  startMember(0);
  startMember(1);
  for (const host of hosts) await until(() => isConnected(host));
  const both = [at(0), at(1)];
  const losers = async () => {
    const found = await Promise.all(both.map(host => findings(host)));
    return found.flatMap((each, index) =>
      troubles(each).join() === 'fail address-of-another' ? [index] : [],
    );
  };
  await until(async () => (await losers()).length === 1);
  const [index = 0] = await losers();
  const loser = at(index);
  const found = withCode(await findings(loser), 'address-of-another');
  const [own, other] = index === 0 ? ['one', '"two" on 10.0.0.2'] : ['two', '"one" on 10.0.0.1'];
  assert(found.seen.startsWith(`"${own}" runs with 192.168.100.77, which belongs to ${other}`), found.seen);
  assert.match(await type(loser, found), new RegExp(`machine ${own}`));
  await virsh(loser, 'destroy', own);
  await untilTroubles(loser);
});

/** Returns the keys of etcd that are about a host, or have its address as their value. */
async function keysOf(address: string): Promise<string[]> {
  const about = ([key, value]: [string, string]) =>
    key.endsWith(`/${address}`) || value.includes(`"${address}"`);
  return [...(await keysBelow('/virlan/100/'))].filter(about).map(([key]) => key);
}

async function refused(message: RegExp, ...operands: string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await at(0).virlan('expel', ...operands);
  assert.deepEqual([exitCode, stdout, stderr.trim().split('\n').length], [1, '', 1], stderr);
  assert.match(stderr, message);
}

doctors('a host that is there is not expelled', async () => {
  await at(2).machine('g3', '52:54:00:00:0a:03');
  await until(async () => (await elsewhere(at(0), 'g3')) !== null);
  const before = await keysBelow('/virlan/');
  await refused(/10\.0\.0\.1 is this host: to let it leave, remove etcd/, '10.0.0.1');
  await refused(/10\.0\.0\.3 is there: its watcher runs/, '10.0.0.3', '--with-machines');
  await refused(/no host 10\.0\.0\.9 has joined: see "virlan status"/, '10.0.0.9');
  assert.equal((await at(0).virlan('expel', 'host3')).exitCode, 2);
  assert.deepEqual(await keysBelow('/virlan/'), before);
});

doctors('a host that died is expelled by the command that the doctor names', async () => {
  await at(2).stop();
  const found = withCode(await untilTroubles(at(0), 'warn host-dead'), 'host-dead');
  assert.match(found.seen, /^the watcher of 10\.0\.0\.3 does not run.*; its machine remains in the ledger/);
  const text = await type(at(0), found);
  assert.match(
    text,
    /^10\.0\.0\.3 is no longer a host of k8s-br0; blocks of addresses that are free: [1-9]\d*$/m,
  );
  assert.match(text, /^ {2}machines that keep their reservations: g3$/m);
  const left = await keysOf('10.0.0.3');
  assert.deepEqual(
    left.map(key => key.split('/')[3]),
    ['machine'],
  );
  for (const host of [at(0), at(1)]) {
    await until(async () => (await network(host)).tunnel?.peers.length === 1);
    assert(await elsewhere(host, 'g3'));
  }
  await untilTroubles(at(0));
});

doctors('its machines are forgotten only with an option', async () => {
  const uuid = (await keysOf('10.0.0.3'))[0]?.split('/').at(-1) ?? '';
  const { exitCode, stdout } = await at(1).virlan('expel', '10.0.0.3', '--with-machines', '--json');
  assert.equal(exitCode, 0);
  assert.deepEqual(JSON.parse(stdout), {
    host: '10.0.0.3',
    networks: [{ network: 'k8s-br0', blocks: 0, kept: [], dropped: ['g3'] }],
  });
  assert.deepEqual(await keysOf('10.0.0.3'), []);
  assert(![...(await keysBelow('/virlan/')).values()].includes(uuid));
  for (const host of [at(0), at(1)]) await until(async () => (await elsewhere(host, 'g3')) === null);
  await refused(/no host 10\.0\.0\.3 has joined/, '10.0.0.3');
});

doctors.run();
