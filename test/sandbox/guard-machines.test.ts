// The guard of real machines: who is behind a tap is known before the guest runs, with the watcher and without it.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { hook } from './guarded-guest.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  host,
  installVirlan,
  type Nic,
  run,
  startLibvirtd,
  startMachine,
  undefine,
  virlan,
  virsh,
  withHotplug,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { until } from './until.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const machines = suite('guard of machines');
const nic: Nic = { type: 'bridge', source: 'k8s-br0', mac: '52:54:00:0a:00:01' };
const onNetwork: Nic = { type: 'network', source: 'k8s-br0', mac: '52:54:00:0a:00:02' };

/** Returns the elements of a set. */
function elementsOf(set: string): Promise<string> {
  return run(host, 'nft', '-n', 'list', 'set', 'bridge', 'virlan-k8s-br0', set);
}

/** Resolves when there is nothing to do: the watcher adds what belongs to a machine after its definition. */
async function planIsEmpty(): Promise<void> {
  await until(async () => (await virlan('plan')).exitCode === 0);
}

/** A QEMU that first copies a set of the guard to a file, before its guest could send anything. */
const emulator = '/usr/bin/qemu-after-copy';

function withCopy(xml: string): string {
  const copy = 'nft -n list set bridge virlan-k8s-br0 own_macs';
  const script = `case "$*" in *guest=*) ${copy} > /tmp/bound ;; esac\nexec /usr/bin/qemu-system-x86_64 "$@"`;
  writeFileSync(emulator, `#!/bin/sh\n${script}\n`);
  chmodSync(emulator, 0o755);
  return xml.replace('<devices>', `<devices><emulator>${emulator}</emulator>`);
}

async function assertLifeOfMachines(): Promise<void> {
  for (const [name, digits] of [
    ['plain', '0x5254000a0001'],
    ['passed', '0x5254000a0002'],
  ] as const) {
    await startMachine(name);
    assert.match(readFileSync('/tmp/bound', 'utf8'), new RegExp(`"vnet\\d+" \\. ${digits}`));
    await planIsEmpty();
    await destroyMachine(name);
    assert.doesNotMatch(await elementsOf('own_macs'), new RegExp(digits));
  }
}

machines(
  'without the watcher, a tap is bound before the guest runs, and released when it stops',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\nmac = keep\n');
    await startLibvirtd();
    assert.equal((await virlan('up')).exitCode, 0);
    await define(withCopy(domainXml({ name: 'plain', nics: [nic] })));
    await define(withCopy(domainXml({ name: 'passed', nics: [onNetwork] })));
    await assertLifeOfMachines();
  },
);

let watcherIsThere = true;

/** Two machines whose taps have one name, of which one starts when the other has stopped. */
async function assertTapReused(between: () => Promise<unknown> = async () => undefined): Promise<void> {
  const twins = ['52:54:00:0a:00:03', '52:54:00:0a:00:04'].map((mac, index) => ({
    name: `twin${index}`,
    mac,
  }));
  for (const { name, mac } of twins)
    await define(domainXml({ name, nics: [{ ...nic, mac, tap: 'shared' }] }));
  for (const { name, mac } of twins) {
    await startMachine(name);
    const bound = (await elementsOf('own_macs')).match(/"shared" \. 0x\w+/g);
    assert.deepEqual(bound, [`"shared" . 0x${mac.replaceAll(':', '')}`]);
    await planIsEmpty();
    await between();
    await destroyMachine(name);
  }
  for (const { name } of twins) await undefine(name);
}

machines('a tap of the same name belongs to the next machine alone, without the watcher', () =>
  assertTapReused(),
);

machines('with the watcher as well', async () => {
  await startWatcher();
  await assertLifeOfMachines();
  await assertTapReused();
});

/** Adds a tap to the bridge, as libvirt does for a NIC. */
async function plugTap(tap: string, mac: string): Promise<void> {
  await run(host, 'ip', 'tuntap', 'add', 'dev', tap, 'mode', 'tap');
  await run(host, 'ip', 'link', 'set', 'dev', tap, 'address', mac.replace(/^52/, 'fe'));
  await run(host, 'ip', 'link', 'set', 'dev', tap, 'master', 'k8s-br0', 'up');
}

/** Counts the changes of rules that are made during some work. */
async function changesDuring(work: () => Promise<void>): Promise<number> {
  writeFileSync('/tmp/changes', '');
  stubProgram('nft', '[ "$1" != -f ] || echo >>/tmp/changes\nexec "$original" "$@"');
  try {
    await work();
  } finally {
    restorePrograms();
  }
  return readFileSync('/tmp/changes', 'utf8').length;
}

machines(
  'with the watcher, a tap is bound as soon as it is there, and the hook has nothing to do',
  async () => {
    const mac = '52:54:00:0a:00:0b';
    const machine = { name: 'early', uuid: randomUUID(), nics: [{ ...nic, mac }] };
    const plugged = { ...machine, nics: [{ ...nic, mac, tap: 'early0' }] };
    await planIsEmpty();
    await hook('prepare', machine);
    await plugTap('early0', mac);
    await until(async () => (await elementsOf('own_macs')).includes('"early0" . 0x5254000a000b'));
    assert.equal(await changesDuring(() => hook('start', plugged)), 0);
    assert.match(await elementsOf('own_macs'), /"early0" \. 0x5254000a000b/);
    await hook('stopped', plugged);
    assert.doesNotMatch(await elementsOf('own_macs'), /early0/);
    await run(host, 'ip', 'link', 'delete', 'early0');
  },
);

machines('the tap of one of two machines that start with one MAC is bound by the hook', async () => {
  const mac = '52:54:00:0a:00:0d';
  const pair = ['left', 'right'].map(name => ({ name, uuid: randomUUID(), nics: [{ ...nic, mac }] }));
  for (const machine of pair) await hook('prepare', machine);
  await plugTap('right0', mac);
  const [, right] = pair;
  assert(right !== undefined);
  const plugged = { ...right, nics: [{ ...nic, mac, tap: 'right0' }] };
  await hook('start', plugged);
  assert.match(await elementsOf('own_macs'), /"right0" \. 0x5254000a000d/);
  await hook('stopped', plugged);
  assert.doesNotMatch(await elementsOf('own_macs'), /right0/);
  await run(host, 'ip', 'link', 'delete', 'right0');
});

machines('also when the watcher dies while a machine runs, and is back before the next one', async () => {
  await assertTapReused(async () => {
    if (watcherIsThere) await stopWatcher('SIGKILL');
    else await startWatcher();
    watcherIsThere = !watcherIsThere;
  });
  assert(watcherIsThere);
});

machines('a NIC that is plugged in is bound, also while the watcher was away', async () => {
  const mac = '52:54:00:0a:00:08';
  const bound = /"vnet\d+" \. 0x5254000a0008/;
  await define(withHotplug(domainXml({ name: 'hot', nics: [{ ...nic, mac: '52:54:00:0a:00:07' }] })));
  await startMachine('hot');
  await virsh('attach-interface', 'hot', 'network', 'k8s-br0', '--mac', mac, '--model', 'virtio', '--live');
  await until(async () => bound.test(await elementsOf('own_macs')));
  await idle('hot');
  await stopWatcher('SIGKILL');
  const second = '52:54:00:0a:00:09';
  await virsh(
    'attach-interface',
    'hot',
    'network',
    'k8s-br0',
    '--mac',
    second,
    '--model',
    'virtio',
    '--live',
  );
  await startWatcher();
  const isSecondBound = async () => /"vnet\d+" \. 0x5254000a0009/.test(await elementsOf('own_macs'));
  await until(isSecondBound);
  await planIsEmpty();
});

machines(
  "a NIC that is unplugged leaves no tap behind, and its MAC is the machine's until that is undefined",
  async () => {
    const [first, second, third] = ['52:54:00:0a:00:11', '52:54:00:0a:00:12', '52:54:00:0a:00:13'] as const;
    const digits = (mac: string) => `0x${mac.replaceAll(':', '')}`;
    /** Returns how many taps may send with a MAC. */
    const taps = async (mac: string) => (await elementsOf('own_macs')).split(`" . ${digits(mac)}`).length - 1;
    const attach = (mac: string) =>
      virsh('attach-interface', 'unplug', 'bridge', 'k8s-br0', '--mac', mac, '--model', 'virtio', '--live');
    await define(withHotplug(domainXml({ name: 'unplug', nics: [{ ...nic, mac: first }] })));
    await startMachine('unplug');
    await attach(second);
    await until(async () => (await taps(second)) === 2);
    await virsh('detach-interface', 'unplug', 'bridge', '--mac', second, '--live');
    // A guest without an operating system lets go of it when it is reset.
    await virsh('reset', 'unplug');
    await until(async () => (await taps(second)) === 1, 30);
    await idle('unplug');
    await planIsEmpty();
    assert.deepEqual([await taps(first), await taps(second)], [1, 1]);
    assert.match(await elementsOf('macs'), new RegExp(digits(second)));
    // The next NIC in its place has its address: unplugged ones use up no addresses.
    await attach(third);
    const line = new RegExp(`^${third},${second},id:\\*,[\\d.]+,unplug-1 # virlan$`, 'm');
    await until(async () => line.test(readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8')));
    await destroyMachine('unplug');
    await undefine('unplug');
    await until(async () => !new RegExp(digits(second)).test(await elementsOf('macs')));
    assert.deepEqual(await Promise.all([first, second, third].map(taps)), [0, 0, 0]);
  },
);

machines('metadata that is changed while the machine runs has its effect at once', async () => {
  const ports = () => run(host, 'nft', 'list', 'map', 'bridge', 'virlan-k8s-br0', 'ports');
  assert.match(await ports(), /goto others/);
  const uri = ['--uri', 'urn:virlan:machine:1', '--key', 'virlan', '--live'];
  await virsh(
    'metadata',
    'hot',
    ...uri,
    '--set',
    "<machine guard='strict'><allow address='10.0.0.1-10.0.0.9'/></machine>",
  );
  await until(async () => /goto strict/.test(await ports()));
  assert.match(await elementsOf('allow4'), /"vnet\d+" \. 10\.0\.0\.1-10\.0\.0\.9/);
});

machines('the guard is repaired at once, also while the watcher was away', async () => {
  const table = ['bridge', 'virlan-k8s-br0'];
  const isThere = async () => /vnet/.test(await elementsOf('own_macs').catch(() => ''));
  await run(host, 'nft', 'delete', 'table', ...table);
  // At most a second on an idle host.
  await until(isThere, 5);
  const elements = (await elementsOf('own_macs')).match(/"vnet\d+" \. 0x\w+/)?.[0] ?? '';
  await run(host, 'nft', `delete element bridge virlan-k8s-br0 own_macs { ${elements} }`);
  await until(async () => (await elementsOf('own_macs')).includes(elements), 5);
  await stopWatcher('SIGKILL');
  await run(host, 'nft', 'delete', 'table', ...table);
  await startWatcher();
  await until(isThere);
  await planIsEmpty();
});

machines(
  'a machine that stops leaves no element behind, also where somebody has removed one of them',
  async () => {
    await stopWatcher();
    await define(domainXml({ name: 'partly', nics: [{ ...nic, mac: '52:54:00:0a:00:14' }] }));
    await startMachine('partly');
    const own = /"vnet\d+" \. 0x5254000a0014/.exec(await elementsOf('own_macs'))?.[0] ?? '';
    await run(host, 'nft', `delete element bridge virlan-k8s-br0 own_macs { ${own} }`);
    const [tap = ''] = own.split(' ');
    assert((await elementsOf('taps')).includes(tap));
    await destroyMachine('partly');
    assert(!(await elementsOf('taps')).includes(tap));
    await undefine('partly');
    await startWatcher();
    await planIsEmpty();
  },
);

machines(
  'a machine starts without a guard when the kernel does not take its rules, and status says so',
  async () => {
    await destroyMachine('hot');
    await run(host, 'nft', 'delete', 'table', 'bridge', 'virlan-k8s-br0');
    stubProgram(
      'nft',
      'if [ "$1" != -f ]; then exec "$original" "$@"; fi\nscript=$(cat)\ncase $script in *bridge*) echo Operation not supported >&2; exit 1 ;; esac\nprintf "%s\\n" "$script" | "$original" "$@"',
    );
    try {
      await startMachine('plain');
      const status = async () => (await virlan('status')).stdout;
      await until(async () => (await status()).includes('machines on k8s-br0 are not guarded'));
      assert.doesNotMatch(await status(), /not as it should be/);
    } finally {
      restorePrograms();
    }
  },
);

machines.run();
