// Kernels that refuse rules: without nf_tables, without one of its modules, without CHECKSUM. The kernel that
// runs the tests has all of them and cannot be made to lack one, so scripts fail in the place of nft and
// iptables, as these fail on such a kernel. What works in their place is real.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import type { NetworkStatus } from '../../src/report/status.ts';
import {
  addMachines,
  assertConnectivity,
  leftoverRules,
  networkStatus,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { installFirewalls } from './firewalls.ts';
import { runHook } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, stopLibvirtd, virlan } from './host.ts';
import { clearLegacy, followDoctor, useIptables } from './iptables-flavours.ts';
import { logLinesOf } from './log.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, statusWhen, stopWatcher } from './watcher.ts';

const lacking = suite('lacking kernel');
lacking.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
lacking.after.each(async () => {
  await useIptables('nft');
  await clearLegacy();
  await resetScenario();
});

const noNfTables = `echo 'netlink: Error: cache initialization failed: Protocol not supported' >&2; exit 1`;

/** Fails for rules with these words, as where the kernel lacks a module for them. */
const lacks = (words: string) => `case "$*" in
  *-f*|*--noflush*) rules=$(cat)
    case "$rules" in *"${words}"*) echo 'Error: Could not process rule: No such file or directory' >&2; exit 1; esac
    printf '%s\\n' "$rules" | "$original" "$@"; exit ;;
esac
exec "$original" "$@"`;

/** Counts the calls of a program that loads rules. */
const counted = (script: string) => `case "$*" in *-f*|*--noflush*) echo >> /tmp/loads; esac\n${script}`;

async function loads(): Promise<number> {
  const { stdout } = await execa('sh', ['-c', 'cat /tmp/loads 2>/dev/null | wc -l; rm -f /tmp/loads']);
  return Number(stdout);
}

function configureFirewall(firewall: string): Promise<void> {
  const lines = ['[network.k8s-br0]', 'stp = no', `firewall = ${firewall}`, 'host-allow = tcp/5000', ''];
  return configure(lines.join('\n'));
}

const kernels = {
  'without nf_tables, with iptables-legacy': async () => {
    await useIptables('legacy');
    stubProgram('nft', counted(noNfTables));
  },
  "without nf_tables' masquerade": () => stubProgram('nft', counted(lacks('masquerade'))),
  "without nf_tables' connection tracking": () => stubProgram('nft', counted(lacks('ct state'))),
};

for (const [name, limit] of Object.entries(kernels)) {
  lacking(`a kernel ${name}: firewall = auto uses iptables, and remembers it`, async () => {
    await configureFirewall('auto');
    await limit();
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0, stderr);
    const warnings = stderr.split('\n').filter(line => line.includes('the kernel refuses rules of nftables'));
    assert.equal(warnings.length, 1, stderr);
    assert.equal(JSON.parse((await virlan('status', '--json')).stdout).networks[0].firewall, 'iptables');
    assert.equal((await virlan('plan')).exitCode, 0);
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    await loads();
    assert.equal((await virlan('up')).exitCode, 0);
    assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
    assert.equal(await loads(), 0);
    const checks = JSON.parse((await virlan('doctor', '--json', '--verbose')).stdout).checks as {
      check: string;
      state: string;
    }[];
    assert.deepEqual(
      checks.filter(({ state }) => state === 'fail'),
      [],
    );
    assert.equal(checks.find(({ check }) => check === 'probe-return')?.state, 'ok');

    await virlan('down');
    restorePrograms();
    assert.deepEqual(await leftoverRules(), []);
    assert.doesNotMatch((await execa('iptables-legacy-save')).stdout, /VIRLAN/);
  });
}

/** Rules of iptables-legacy that packets of machines meet in spite of virlan's own, and the stage that they break. */
const drops = [
  ['mangle', 'PREROUTING -s 192.168.100.0/24 ! -d 192.168.100.0/24 -j DROP', 'probe-forward'],
  ['mangle', 'FORWARD -i k8s-br0 -j DROP', 'probe-forward'],
  ['mangle', 'FORWARD -d 192.168.100.0/24 -i uplink -j DROP', 'probe-return'],
  ['mangle', 'POSTROUTING ! -s 192.168.100.1/32 -o k8s-br0 -j DROP', 'probe-return'],
  ['security', 'FORWARD -m conntrack --ctstate NEW -j DROP', 'probe-forward'],
] as const;

lacking(
  'without nf_tables: rules of iptables-legacy that drop what is forwarded are named, and the commands of doctor work',
  async () => {
    await configureFirewall('auto');
    await kernels['without nf_tables, with iptables-legacy']();
    assert.equal((await virlan('up')).exitCode, 0);
    const scenario = await addMachines();
    const { stdout: before } = await execa('iptables-legacy-save');
    for (const [table, rule, stage] of drops) {
      await execa('sh', ['-c', `iptables-legacy -t ${table} -A ${rule}`]);
      const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
      const [chain, ...words] = rule.split(' ');
      const failed = checks.filter(({ state }: { state: string }) => state === 'fail');
      assert.deepEqual(
        failed.map(({ check }: { check: string }) => check),
        [stage],
        rule,
      );
      assert(
        failed[0].seen.includes(`a rule of iptables-legacy ${table} ${chain}: ${words.join(' ')}`),
        failed[0].seen,
      );
      await followDoctor(table);
      await execa('iptables-legacy-restore', { input: `${before}\n` });
    }
    await assertConnectivity(scenario);
  },
);

lacking(
  'without nf_tables: status names a rule of iptables-legacy that drops what is forwarded, soon after it was added',
  async () => {
    await configureFirewall('auto');
    await kernels['without nf_tables, with iptables-legacy']();
    assert.equal((await virlan('up')).exitCode, 0);
    await startLibvirtd();
    await startWatcher();
    await addMachines();
    await statusWhen(({ probe }) => probe?.passed === true, 60);
    const rule = ['FORWARD', '-i', 'k8s-br0', '!', '-o', 'k8s-br0', '-j', 'DROP'];
    await execa('iptables-legacy', ['-t', 'mangle', '-A', ...rule]);
    const isNamed = ({ problems }: NetworkStatus) =>
      problems.some(problem =>
        problem.includes('a rule of iptables-legacy mangle FORWARD: -i k8s-br0 ! -o k8s-br0 -j DROP'),
      );
    await statusWhen(isNamed, 60);
    await execa('iptables-legacy', ['-t', 'mangle', '-D', ...rule]);
    await statusWhen(network => !isNamed(network), 60);
    await stopWatcher();
    await stopLibvirtd();
  },
);

lacking('a hook on a kernel without nf_tables establishes the network with iptables', async () => {
  await configureFirewall('auto');
  stubProgram('nft', counted(lacks('masquerade')));
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  await assertConnectivity(await addMachines());
  assert.equal((await virlan('plan')).exitCode, 0);
  assert.equal(logLinesOf('step-failed').length, 0);
});

lacking('what the kernel refuses is tried again once its modules or programs have changed', async () => {
  await configureFirewall('auto');
  stubProgram('nft', lacks('masquerade'));
  assert.equal((await virlan('up')).exitCode, 0);
  restorePrograms();
  await up();
  assert.equal(JSON.parse((await virlan('status', '--json')).stdout).networks[0].firewall, 'nftables');
  await assertConnectivity(await addMachines());
  assert.deepEqual(await plannedSteps(), []);
  assert.doesNotMatch((await execa('iptables-save')).stdout, /VIRLAN-(FWD|INP)/);
});

lacking(
  'a kernel that refuses the rules of both backends: both are named, the host is as it was',
  async () => {
    await configureFirewall('auto');
    const before = await snapshot();
    stubProgram('nft', lacks('masquerade'));
    stubProgram('iptables-restore', lacks('MASQUERADE'));
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 1);
    assert.match(stderr, /nft -f -: .*No such file.*iptables-restore --noflush.*: .*the host is as it was/);
    restorePrograms();
    assert.deepEqual(await changesSince(before), []);
    await up();
    assert.equal(JSON.parse((await virlan('status', '--json')).stdout).networks[0].firewall, 'nftables');
  },
);

lacking('firewall = nftables is never replaced by iptables', async () => {
  await configureFirewall('nftables');
  stubProgram('nft', lacks('masquerade'));
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 1);
  assert.match(stderr, /nft -f -: .*the host is as it was/);
});

/** Words of the rules that limit the connections of a machine to the DNS, and the table that they are in. */
const limits = { 'ct count': 'ip virlan-k8s-br0', jhash: 'bridge virlan-k8s-br0' };

for (const [words, table] of Object.entries(limits)) {
  lacking(`a kernel without "${words}": a warning, and the rest of the rules and the guard`, async () => {
    await configureFirewall('nftables');
    stubProgram('nft', counted(lacks(words)));
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0, stderr);
    await assertConnectivity(await addMachines());
    await up();
    assert.equal((await virlan('plan')).exitCode, 0);
    const named = (await networkStatus()).problems.filter(problem => /count TCP connections/.test(problem));
    assert.equal(named.length, 1);
    const { stdout } = await execa('nft', ['list', 'table', ...table.split(' ')]);
    assert.match(stdout, /53/);
    assert.doesNotMatch(stdout, new RegExp(words));
    await loads();
    await up();
    assert.equal(await loads(), 0);
  });
}

/** A program that loads rules, and the words of those that lower the segment size of TCP. */
const clamps = { nftables: ['nft', 'maxseg'], iptables: ['iptables-restore', 'TCPMSS'] } as const;

for (const [firewall, [program, words]] of Object.entries(clamps)) {
  lacking(`${firewall} on a kernel without "${words}": a warning, and a network that works`, async () => {
    await configureFirewall(firewall);
    stubProgram(program, counted(lacks(words)));
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0, stderr);
    assert.match(stderr, /refuse.*the rules that lower the segment size of TCP/);
    await assertConnectivity(await addMachines());
    assert.equal((await virlan('plan')).exitCode, 0);
    const named = (await networkStatus()).problems.filter(problem => /segment size/.test(problem));
    assert.equal(named.length, 1);
    await loads();
    await up();
    assert.equal(await loads(), 0);
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

for (const firewall of ['nftables', 'iptables']) {
  lacking(`${firewall} on a kernel without CHECKSUM: a warning, and a network that works`, async () => {
    await configureFirewall(firewall);
    stubProgram('iptables-restore', counted(lacks('CHECKSUM')));
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0, stderr);
    assert.equal(stderr.split('\n').filter(line => line.includes('checksums of DHCP replies')).length, 1);
    assert.equal((await virlan('plan')).exitCode, 0);
    const named = (await networkStatus()).problems.filter(problem => /checksum/.test(problem));
    assert.equal(named.length, 1);
    await assertConnectivity(await addMachines());
    // A watcher does not try it again and again.
    await startLibvirtd();
    await startWatcher();
    await loads();
    await execa('nft', ['add', 'table', 'ip', 'corp']);
    await execa('ip', ['link', 'set', 'k8s-br0', 'mtu', '1400']);
    await until(() => logLinesOf('network-repaired').length > 0);
    assert.equal(await loads(), 0);
    await stopWatcher();
    await stopLibvirtd();
    await down();
    assert.deepEqual(await leftoverRules(), []);
  });
}

lacking.run();
