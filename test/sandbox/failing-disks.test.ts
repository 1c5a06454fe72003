// Disks that fail while they are written, or that the kernel has made read-only because of that: machines start,
// bookkeeping that fails is a warning that names the file, and nothing half-written is left.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { codeOf, type DiskFault, diskFaults, temporariesIn, withFault } from './failing-disk.ts';
import { hasNetwork, networkStatus } from './firewall-scenario.ts';
import { prepare } from './hook-calls.ts';
import { configure, installVirlan, startLibvirtd, stopLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import type { Machine } from './machine.ts';
import { until } from './until.ts';
import { plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const failing = suite('failing disks');

const dnsmasqDirectory = '/var/lib/dnsmasq/k8s-br0';
const hostsfile = `${dnsmasqDirectory}/hostsfile`;
const confFile = `${dnsmasqDirectory}/dnsmasq.conf`;
const pidFile = '/run/dnsmasq/k8s-br0.pid';
const sysctlFile = '/etc/sysctl.d/60-virlan.conf';
const config = '[network.k8s-br0]\nstp = no\n';
const original = '/var/lib/virlan/before.json';
const directories = [
  '/var/lib/virlan',
  '/run/virlan',
  '/var/log',
  '/etc/sysctl.d',
  '/var/lib/libvirt/dnsmasq',
  dnsmasqDirectory,
];

let machines = 0;

/** Returns a machine that nobody has seen before. */
function newMachine(): Machine {
  machines += 1;
  const digits = machines.toString(16).padStart(2, '0');
  const nic = { type: 'bridge', source: 'k8s-br0', mac: `52:54:00:00:02:${digits}` } as const;
  return { name: `m${machines}`, uuid: randomUUID(), nics: [nic] };
}

function reservedLines(): string[] {
  return readFileSync(hostsfile, 'utf8')
    .split('\n')
    .filter(line => line.startsWith('52:54:'));
}

/** Asserts that a machine is reserved, all lines of before are there, nothing differs, and no temporary is left. */
async function assertWhole(machine: Machine, before: readonly string[]): Promise<void> {
  assert.deepEqual(await prepare(machine), { exitCode: 0, stderr: '', signal: undefined });
  await up();
  const lines = reservedLines();
  assert(
    lines.some(line => line.startsWith(`${machine.nics[0]?.mac},`)),
    lines.join('\n'),
  );
  for (const line of before) assert(lines.includes(line), line);
  assert.deepEqual(await plannedSteps(), []);
  assert.deepEqual(await temporariesIn(directories), []);
}

/** Takes away what a reboot takes. */
async function reboot(): Promise<void> {
  const commands = [
    'pid=$(cat /run/dnsmasq/k8s-br0.pid) && kill "$pid" && while [ -e /proc/"$pid"/exe ]; do sleep 0.05; done',
    'ip link delete k8s-br0',
    'ip link delete k8s-br0-nic',
    'nft flush ruleset',
    'rm -rf /run/virlan /run/dnsmasq',
    'sysctl -q -w net.ipv4.ip_forward=0',
    'rm -f /etc/sysctl.d/60-virlan.conf /var/lib/libvirt/dnsmasq/k8s-br0.*',
  ];
  await execa('sh', ['-c', commands.join('; ')], { reject: false });
  const text = readFileSync(original, 'utf8');
  writeFileSync(original, text.replace(/"boot": "[^"]*"/, '"boot": "earlier"'));
}

failing.before(async () => {
  await installVirlan();
  await configure(config);
  await up();
  assert.equal((await prepare(newMachine())).exitCode, 0);
  await reboot();
});

/** The directories of virlan's records, and the faults that "virlan up" after a boot, and a new machine, do not meet. */
const books: readonly { directory: string; unmetByUp: readonly DiskFault[]; isReserved: boolean }[] = [
  { directory: '/var/lib/virlan', unmetByUp: [], isReserved: false },
  { directory: '/run/virlan', unmetByUp: [], isReserved: true },
  { directory: '/etc/sysctl.d', unmetByUp: [], isReserved: true },
  // Hooks, the watcher and status write for libvirt's tools.
  { directory: '/var/lib/libvirt/dnsmasq', unmetByUp: diskFaults, isReserved: true },
  // The log is appended to, and not stored at once.
  { directory: '/var/log', unmetByUp: ['fsync EIO', 'rename EIO'], isReserved: true },
];

for (const { directory, unmetByUp, isReserved } of books)
  for (const fault of diskFaults)
    failing(
      `${fault} in ${directory}: the network is made, machines start, and nothing is lost`,
      async () => {
        const before = reservedLines();
        const machine = newMachine();
        const [code, failures] = [codeOf(fault), logLinesOf('reservation-failed').length];
        await withFault(directory, fault, async () => {
          const { exitCode, stderr } = await virlan('up');
          assert.equal(exitCode, 0, stderr);
          assert.equal(await hasNetwork(), true);
          const lines = stderr.split('\n').filter(line => line.includes(code));
          assert.equal(lines.length > 0, !unmetByUp.includes(fault), stderr);
          for (const line of lines) assert(line.includes(`${directory}/`) && line.includes('dmesg'), line);
          assert.doesNotMatch(stderr, /\n +at /);
          const hook = await prepare(machine);
          assert.equal(hook.exitCode, 0);
          if (directory !== '/var/log') assert.equal(hook.stderr, '');
          assert.equal(reservedLines().length, before.length + Number(isReserved));
          assert.equal((await virlan('status')).exitCode, 0);
        });
        const logged = logLinesOf('reservation-failed').slice(failures);
        assert.equal(logged.length, Number(!isReserved));
        for (const { msg } of logged)
          assert(String(msg).includes(directory) && String(msg).includes(code), String(msg));
        await assertWhole(machine, before);
        await reboot();
      },
    );

for (const fault of diskFaults)
  failing(
    `${fault} where dnsmasq's files are: no machine is kept from starting, and all is as it was`,
    async () => {
      await up();
      const [before, conf, pid] = [
        reservedLines(),
        readFileSync(confFile, 'utf8'),
        readFileSync(pidFile, 'utf8'),
      ];
      const machine = newMachine();
      const isNamed = (text: string, file: string) => text.includes(file) && text.includes(codeOf(fault));
      await withFault(dnsmasqDirectory, fault, async () => {
        const failures = logLinesOf('reservation-failed').length;
        assert.deepEqual(await prepare(machine), { exitCode: 0, stderr: '', signal: undefined });
        const [logged] = logLinesOf('reservation-failed').slice(failures);
        assert(isNamed(String(logged?.msg), hostsfile), String(logged?.msg));
        // A configuration that cannot be written stops no dnsmasq that runs.
        await configure('[network.k8s-br0]\nstp = no\nlease-time = 30m\n');
        const { exitCode, stderr } = await virlan('up');
        assert.equal(exitCode, 1);
        assert(isNamed(stderr, `${dnsmasqDirectory}/`) && stderr.includes('the host is as it was'), stderr);
        assert.equal(await hasNetwork(), true);
        assert.equal(readFileSync(pidFile, 'utf8'), pid);
        assert.equal(readFileSync(confFile, 'utf8'), conf);
        await configure(config);
      });
      await assertWhole(machine, before);
      await reboot();
    },
  );

// Where /run/virlan is read-only, there is no socket to ask the watcher by.
for (const directory of ['/var/lib/virlan', '/run/virlan', '/etc/sysctl.d'])
  for (const fault of directory === '/run/virlan'
    ? (['write EIO'] as const)
    : (['write EIO', 'EROFS'] as const))
    failing(
      `${fault} in ${directory} at boot: libvirtd makes the network, status says what fails, until the watcher has written it`,
      async () => {
        const isNamed = async () => {
          const { problems } = await networkStatus();
          return problems.some(
            problem => problem.includes(`${directory}/`) && problem.includes(codeOf(fault)),
          );
        };
        try {
          await withFault(directory, fault, async () => {
            await startLibvirtd();
            assert.equal(await hasNetwork(), true);
            await startWatcher();
            await until(isNamed, 30);
            // The repairs that are possible do not wait for it.
            await execa('nft', ['delete', 'table', 'ip', 'virlan-k8s-br0']);
            await until(hasNetwork);
          });
          await until(async () => !(await isNamed()) && (await virlan('plan')).exitCode === 0, 60);
          assert.equal(existsSync('/run/virlan/k8s-br0.applied.json') && existsSync(sysctlFile), true);
          assert.doesNotMatch(readFileSync(original, 'utf8'), /"earlier"/);
          assert.deepEqual(await temporariesIn(directories), []);
          assert.deepEqual(logLinesOf('unit-left-alone'), []);
        } finally {
          await stopWatcher();
          await stopLibvirtd();
          await reboot();
        }
      },
    );

failing(
  '"virlan down" beside the watcher changes nothing where /run/virlan is read-only, and fails',
  async () => {
    await startLibvirtd();
    await startWatcher();
    try {
      const pid = readFileSync(pidFile, 'utf8');
      await withFault('/run/virlan', 'EROFS', async () => {
        const { exitCode, stderr } = await virlan('down');
        assert.equal(exitCode, 1);
        assert.match(
          stderr,
          /^virlan: \/run\/virlan\/k8s-br0\.down cannot be written: EROFS[^\n]*dmesg[^\n]*$/,
        );
        assert.equal(await hasNetwork(), true);
        assert.equal(readFileSync(pidFile, 'utf8'), pid);
      });
      // The watcher makes no network that is marked like this.
      assert.equal(existsSync('/run/virlan/k8s-br0.down'), false);
    } finally {
      await stopWatcher();
      await stopLibvirtd();
      await up();
      await reboot();
    }
  },
);

failing('"virlan down" without a watcher goes on where /run/virlan is read-only, and says so', async () => {
  await up();
  await withFault('/run/virlan', 'EROFS', async () => {
    const { exitCode, stderr } = await virlan('down');
    assert.equal(exitCode, 0, stderr);
    assert.match(
      stderr,
      /the network is down, but its record does not say so: \/run\/virlan\/k8s-br0\.down .*EROFS/,
    );
    assert.equal(await hasNetwork(), false);
    assert.equal((await execa('ip', ['link', 'show', 'k8s-br0'], { reject: false })).exitCode, 1);
  });
  await up();
  await reboot();
});

failing.run();
