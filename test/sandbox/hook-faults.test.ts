// The installed hooks when something is missing, hangs, or is replaced at that moment: libvirt goes on, and
// machines have reservations.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { withLock } from '../../src/system/lock.ts';
import { paths } from '../../src/system/paths.ts';
import { hookEnvironment, prepare, runHook } from './hook-calls.ts';
import {
  checkout,
  configure,
  define,
  domainXml,
  installVirlan,
  startLibvirtd,
  stopLibvirtd,
  virlan,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { killDnsmasq } from './reset-host.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const faults = suite('hook faults');
const helper = '/usr/lib/virlan/ask.sh';
let machines = 0;

/** Returns a machine that virlan has not seen. */
function newMachine() {
  machines += 1;
  const mac = `52:54:00:60:${(machines >> 8).toString(16).padStart(2, '0')}:${(machines & 255).toString(16).padStart(2, '0')}`;
  return { name: `machine${machines}`, nics: [{ type: 'bridge' as const, source: 'k8s-br0', mac }] };
}

function isReserved({ nics }: ReturnType<typeof newMachine>): boolean {
  return readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8').includes(`${nics[0]?.mac},`);
}

async function assertPrepared(): Promise<void> {
  const machine = newMachine();
  const { exitCode, stderr } = await prepare(machine);
  assert.deepEqual([exitCode, stderr, isReserved(machine)], [0, '', true]);
}

faults('with a watcher: the helper script is missing, a directory, or not a script', async () => {
  await installVirlan();
  // More addresses than a fast host starts machines here.
  await configure('[network.k8s-br0]\nstp = no\nsubnet = 192.168.96.0/20\n');
  await startLibvirtd();
  await startWatcher();
  await assertPrepared();
  renameSync(helper, `${helper}.moved`);
  await assertPrepared();
  mkdirSync(helper);
  await assertPrepared();
  rmSync(helper, { recursive: true });
  // A shell ends at a syntax error: nothing is reserved, and the machine starts.
  writeFileSync(helper, 'if then\n');
  for (const [driver, args] of [
    ['qemu', ['web', 'prepare', 'begin', '-']],
    ['network', ['k8s-br0', 'port-created', 'begin', '-']],
    ['daemon', ['-', 'start', '-', 'start']],
  ] as const)
    assert.equal((await runHook(driver, args, domainXml({ name: 'web', nics: [] }))).exitCode, 0, driver);
  rmSync(helper);
  renameSync(`${helper}.moved`, helper);
});

faults('no program of the PATH of libvirtd is run, and no function of its environment', async () => {
  const directory = '/tmp/foreign';
  mkdirSync(directory);
  for (const program of ['cat', 'nc', 'socat', 'curl', 'timeout', 'node']) {
    writeFileSync(`${directory}/${program}`, '#!/bin/sh\ntouch /tmp/foreign-ran\n');
    chmodSync(`${directory}/${program}`, 0o755);
  }
  const machine = newMachine();
  const input = domainXml({ uuid: '00000000-0000-4000-8000-000000000001', ...machine });
  const run = await execa('/etc/libvirt/hooks/qemu', [machine.name, 'prepare', 'begin', '-'], {
    env: { ...hookEnvironment, PATH: `${directory}:${hookEnvironment.PATH}` },
    extendEnv: false,
    input,
  });
  assert.deepEqual([run.stderr, isReserved(machine)], ['', true]);
  assert.throws(() => readFileSync('/tmp/foreign-ran'), { code: 'ENOENT' });
});

faults('no descriptor is free', async () => {
  // dash cannot open a script with less than 11.
  for (const limit of [11, 12, 13, 14]) {
    const limited = `ulimit -n ${limit}; exec /etc/libvirt/hooks/qemu web prepare begin -`;
    const { exitCode } = await execa('sh', ['-c', limited], { input: '<domain/>', reject: false });
    assert.equal(exitCode, 0, `${limit} descriptors`);
  }
});

faults('upgrades while machines start: each has its reservation', async () => {
  const runs: { machine: ReturnType<typeof newMachine>; exitCode: number | undefined; stderr: string }[] = [];
  let isUpgrading = true;
  const startMachines = async () => {
    while (isUpgrading) {
      const machine = newMachine();
      const { exitCode, stderr } = await prepare(machine);
      runs.push({ machine, exitCode, stderr });
    }
  };
  // One with and one without a watcher.
  for (const end of [stopWatcher, async () => {}]) {
    isUpgrading = true;
    const starting = Promise.all([startMachines(), startMachines()]);
    for (let upgrade = 0; upgrade < 3; upgrade += 1) {
      const script = [`${checkout}/install/install.sh`, '--no-packages', '--no-start'];
      const { exitCode, stderr } = await execa('sh', script, { reject: false });
      assert.deepEqual([exitCode, stderr], [0, '']);
    }
    isUpgrading = false;
    await starting;
    await end();
  }
  assert(runs.length > 20, `${runs.length} starts`);
  const bad = runs.filter(
    ({ machine, exitCode, stderr }) => exitCode !== 0 || stderr !== '' || !isReserved(machine),
  );
  assert.equal(bad.length, 0, JSON.stringify(bad.slice(0, 3)));
  assert.equal(readdirSync('/usr/lib/virlan-versions').length, 2);
});

faults('without a watcher, timeout is that of busybox', async () => {
  const { stdout: busybox } = await execa('sh', ['-c', 'readlink -f "$(command -v busybox)"']);
  assert.equal(busybox, '/usr/bin/busybox');
  renameSync('/usr/bin/timeout', '/usr/bin/timeout.moved');
  symlinkSync(busybox, '/usr/bin/timeout');
  try {
    await assertPrepared();
    for (const [driver, args] of [
      ['network', ['k8s-br0', 'port-created', 'begin', '-']],
      ['daemon', ['-', 'start', '-', 'start']],
    ] as const) {
      const { exitCode, stderr } = await runHook(driver, args, domainXml({ name: 'web', nics: [] }));
      assert.deepEqual([exitCode, stderr.includes('unrecognized option')], [0, false], driver);
    }
  } finally {
    rmSync('/usr/bin/timeout');
    renameSync('/usr/bin/timeout.moved', '/usr/bin/timeout');
  }
});

faults(
  'an upgrade of a plain directory, at each of its steps: machines that start are reserved',
  async () => {
    // As installations had it before there were versions.
    const versions = '/usr/lib/virlan-versions';
    const program = realpathSync('/usr/lib/virlan');
    rmSync('/usr/lib/virlan');
    renameSync(program, '/usr/lib/virlan');
    rmSync(versions, { recursive: true });
    const xml = domainXml({
      uuid: '00000000-0000-4000-8000-0000000000N',
      name: 'step-N',
      nics: [{ type: 'bridge', source: 'k8s-br0', mac: '52:54:00:61:00:N' }],
    });
    writeFileSync('/tmp/step.xml', xml);
    stubProgram(
      'mv',
      `"$original" "$@" || exit
n=$(printf %02x $(($(grep -c exit /tmp/steps) + 1)))
sed s/N/$n/g /tmp/step.xml | /etc/libvirt/hooks/qemu step-$n prepare begin - >>/tmp/steps 2>&1
echo "exit $?" >>/tmp/steps`,
    );
    writeFileSync('/tmp/steps', '');
    await execa('sh', [`${checkout}/install/install.sh`, '--no-packages', '--no-start'], {
      env: hookEnvironment,
      extendEnv: false,
    }).finally(restorePrograms);
    const steps = readFileSync('/tmp/steps', 'utf8').trimEnd().split('\n');
    assert.deepEqual([...new Set(steps)], ['exit 0'], steps.join('\n'));
    const reserved = readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8').match(/^52:54:00:61:00:/gm);
    // The directory moves away, and a link takes its place: each by an mv of its own.
    assert(steps.length > 5);
    assert.equal(reserved?.length, steps.length);
    assert(realpathSync('/usr/lib/virlan').startsWith(versions));
  },
);

faults('another virlan holds the lock of the network, and dnsmasq is dead', async () => {
  killDnsmasq();
  await withLock(paths.networkLock, 5, async () => {
    const began = performance.now();
    await assertPrepared();
    const seconds = (performance.now() - began) / 1000;
    assert(seconds < 20, `${seconds} s`);
  });
});

faults(
  'another virlan holds the lock of the ledger: a machine starts without a reservation, and gets it later',
  async () => {
    await startWatcher();
    const machine = newMachine();
    await define(domainXml(machine));
    await withLock(paths.ledgerLock, 5, async () => {
      const began = performance.now();
      const { exitCode } = await prepare(machine);
      const seconds = (performance.now() - began) / 1000;
      assert.equal(exitCode, 0);
      assert(seconds < 20, `${seconds} s`);
      assert.equal(isReserved(machine), false);
    });
    const hostsfile = () => readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8');
    await until(() => hostsfile().includes(`,${machine.name}`), 20);
    await stopWatcher();
  },
);

faults('virlan.ini can never be read to its end', async () => {
  await stopLibvirtd();
  // The limit of the hook, shortened to a second.
  stubProgram('timeout', 'shift 3; exec "$original" --foreground --kill-after=1 1 "$@"');
  rmSync('/etc/virlan/virlan.ini');
  execFileSync('mkfifo', ['/etc/virlan/virlan.ini']);
  // A writer that writes nothing: without one, opening would wait, which is the same to a caller.
  const writer = execa('sh', ['-c', 'exec sleep 1000 >/etc/virlan/virlan.ini'], { reject: false });
  const runs = await Promise.race([
    Promise.all([prepare(newMachine()), runHook('daemon', ['-', 'start', '-', 'start'])]),
    pause(25_000, null),
  ]);
  writer.kill('SIGKILL');
  assert.deepEqual(
    runs?.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  restorePrograms();
  rmSync('/etc/virlan/virlan.ini');
  await virlan('down');
});

faults.run();
