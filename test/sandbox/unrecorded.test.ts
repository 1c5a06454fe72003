// Networks that were made while the record of the host's earlier state could not be written, and programs that do not
// answer: `down` restores the host, or says what it leaves, and never takes the rules away alone.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { withFault } from './failing-disk.ts';
import { hasNetwork } from './firewall-scenario.ts';
import { runHook } from './hook-calls.ts';
import { configure, dhcp, guest, host, installVirlan, internet, probe, serve, virlan } from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { changesSince, type Snapshot, snapshot } from './snapshot.ts';
import { until } from './until.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';
import { startWatcherProcess, stopWatcher } from './watcher.ts';

const unrecorded = suite('unrecorded');

const books = '/var/lib/virlan';
const original = `${books}/before.json`;
const copy = '/run/virlan/before.json';
const sysctlFile = '/etc/sysctl.d/60-virlan.conf';
/** The files that stay after `down` in any case: reservations. */
const kept = /\/var\/lib\/dnsmasq|\/var\/lib\/virlan\/(ledger|default)/;
/** The files that a watcher leaves. */
const ofWatcher = /\/run\/virlan\/(socket|watcher\.)/;
/** The table that iptables makes, of which no record could be written that it was not there. It is empty. */
const emptyTable = /"(name|table)":"mangle"/;
let before: Snapshot = [];

function forwards(): boolean {
  return readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim() === '1';
}

/** Mounts a file system without room over a directory. */
async function fill(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  await execa('mount', ['-t', 'tmpfs', '-o', 'size=256k,mode=700', 'full', directory]);
  await execa('sh', ['-c', 'cat /dev/zero > "$1/filler" 2>/dev/null || [ -s "$1/filler" ]', '-', directory]);
}

async function unmount(directory: string): Promise<void> {
  await execa('umount', ['--lazy', directory]);
}

/** Makes the network as libvirtd does when it starts. */
async function boot(): Promise<void> {
  await runHook('daemon', ['-', 'start', '-', 'start']);
  assert.equal(await hasNetwork(), true);
}

unrecorded.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
});

unrecorded.before.each(async () => {
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
  rmSync(sysctlFile, { force: true });
  before = await snapshot();
});

unrecorded('made with a full /var/lib/virlan, it is taken down as a whole once there is room', async () => {
  const outside = await internet();
  before = await snapshot();
  await fill(books);
  try {
    await boot();
    const web = await guest('web', { mac: '52:54:00:00:00:0a' });
    const to = await dhcp(web);
    await serve(web, { proto: 'tcp', port: 22 });
    await serve(host, { proto: 'tcp', port: 6443 });
    rmSync(`${books}/filler`);
    await down();
    assert.notEqual(await probe(outside, { proto: 'tcp', to, port: 22 }), 'open');
    assert.notEqual(await probe(web, { proto: 'tcp', to: '192.168.100.1', port: 6443 }), 'open');
    assert.equal(forwards(), false);
    assert.match(await down(), /was down already/);
  } finally {
    await unmount(books);
  }
});

for (const directory of [books, '/var/lib'])
  unrecorded(`made with a read-only ${directory}, it is taken down as a whole`, async () => {
    mkdirSync('/var/lib/dnsmasq/k8s-br0', { recursive: true });
    await up();
    await down();
    before = await snapshot();
    await withFault(directory, 'EROFS', async () => {
      if (directory === '/var/lib') await execa('mount', ['-t', 'tmpfs', 'room', '/var/lib/dnsmasq/k8s-br0']);
      await boot();
      const { exitCode } = await virlan('down');
      assert.equal(exitCode, 0);
      if (directory === '/var/lib') await unmount('/var/lib/dnsmasq/k8s-br0');
    });
    assert.deepEqual(await changesSince(before, kept), []);
  });

unrecorded('a record that cannot be removed when its network is taken down is named as that', async () => {
  await up();
  await withFault(books, 'EROFS', async () => {
    const { exitCode, stderr } = await virlan('down');
    assert.equal(exitCode, 0, stderr);
    assert.match(
      stderr,
      /^virlan: warning: the network is down, but its record does not say so: .*before\.json/m,
    );
    assert.doesNotMatch(stderr, /the network is made/);
  });
  await up();
  await down();
});

for (const recorder of ['virlan up', 'the watcher'])
  unrecorded(
    `once there is room, ${recorder} records what was there before, and not virlan's own`,
    async () => {
      await fill(books);
      try {
        await boot();
        assert.equal(existsSync(copy), true);
        rmSync(`${books}/filler`);
        if (recorder === 'virlan up') assert.match(await up(), /nothing had to be changed/);
        else {
          startWatcherProcess();
          await until(() => existsSync(original), 30);
          await stopWatcher();
        }
        assert.equal(existsSync(copy), false);
        const { sysctls, sysctlFile: file } = JSON.parse(readFileSync(original, 'utf8'));
        assert.deepEqual([sysctls['net.ipv4.ip_forward'], file], ['0', null]);
        assert.deepEqual(await plannedSteps(), []);
        await down();
      } finally {
        await unmount(books);
      }
      assert.deepEqual(await changesSince(before, kept, ofWatcher), []);
    },
  );

unrecorded(
  'what no record could be written of is removed by its marks, and what is unknown is named',
  async () => {
    for (const recordsLater of [false, true]) {
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
      await fill(books);
      await fill('/run/virlan');
      try {
        await boot();
        rmSync(`${books}/filler`);
        rmSync('/run/virlan/filler');
        if (recordsLater) await up();
        const { exitCode, stderr } = await virlan('down');
        assert.equal(exitCode, 0, stderr);
        assert.match(
          stderr,
          /^virlan: warning: net\.ipv4\.ip_forward stays 1, .*not recorded.*"sysctl -w net\.ipv4\.ip_forward=0"/m,
        );
        assert.equal(forwards(), true);
        writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
        assert.match(await down(), /was down already/);
      } finally {
        await unmount(books);
        await unmount('/run/virlan');
      }
      assert.deepEqual(await changesSince(before, kept, emptyTable), []);
    }
  },
);

unrecorded("the administrator's own bridge stays when there is no record of it", async () => {
  await execa('ip', ['link', 'add', 'k8s-br0', 'address', '52:54:00:00:99:01', 'type', 'bridge']);
  const own = await snapshot();
  await fill(books);
  try {
    await runHook('daemon', ['-', 'start', '-', 'start']);
    assert.deepEqual([await hasNetwork(), existsSync(copy)], [false, false]);
    await down();
  } finally {
    await unmount(books);
    assert.deepEqual(await changesSince(own, kept), []);
    await execa('ip', ['link', 'delete', 'k8s-br0']);
  }
});

unrecorded('a file that cannot be removed is named once, with what to look at', async () => {
  await up();
  await withFault('/etc/sysctl.d', 'EROFS', async () => {
    const { exitCode, stderr } = await virlan('down');
    assert.equal(exitCode, 1);
    assert.equal(stderr.match(/60-virlan\.conf cannot be removed: EROFS[^;]*dmesg/g)?.length, 1, stderr);
  });
  await down();
  assert.deepEqual(await changesSince(before, kept), []);
});

unrecorded(
  'an iptables-save that hangs keeps no network of nftables from being shown or taken down',
  async () => {
    await up();
    const isFilled = (await execa('iptables-save')).stdout.includes('VIRLAN');
    const named = /rules of iptables cannot be seen: iptables-save: not done after 10 s/;
    stubProgram('iptables-save', 'exec sleep 70');
    try {
      const { exitCode, stdout } = await virlan('status');
      assert.equal(exitCode, 0);
      assert.match(stdout, named);
      assert.equal(stdout.match(new RegExp(named, 'g'))?.length, 1);
      const plan = await virlan('plan');
      assert.deepEqual([plan.exitCode, named.test(plan.stderr)], [0, true]);
      const taken = await virlan('down');
      // The rule that fills in checksums may be the only one in iptables.
      assert.deepEqual(
        [taken.exitCode, /iptables-save: not done/.test(taken.stderr)],
        [Number(isFilled), true],
      );
    } finally {
      restorePrograms();
    }
    const left = [existsSync('/sys/class/net/k8s-br0'), forwards(), existsSync(sysctlFile)];
    assert.deepEqual(left, [false, false, false]);
    await down();
    assert.deepEqual(await changesSince(before, kept), []);
  },
);

unrecorded(
  'with firewall = iptables too, all but the rules is taken down while iptables-save hangs',
  async () => {
    await configure('[network.k8s-br0]\nstp = no\nfirewall = iptables\n');
    before = await snapshot();
    await up();
    stubProgram('iptables-save', 'exec sleep 70');
    try {
      const { exitCode, stderr } = await virlan('down');
      assert.deepEqual([exitCode, /iptables-save: not done/.test(stderr)], [1, true], stderr);
    } finally {
      restorePrograms();
    }
    const left = [existsSync('/sys/class/net/k8s-br0'), forwards(), existsSync(sysctlFile)];
    assert.deepEqual(left, [false, false, false]);
    await down();
    assert.deepEqual(await changesSince(before, kept), []);
  },
);

unrecorded.run();
