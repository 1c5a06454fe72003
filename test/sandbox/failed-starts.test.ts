// Starts that fail, with a real libvirtd: they are not boots, and the owner's MAC stays the owner's.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { suite } from 'uvu';
import { readLedger } from '../../src/identity/ledger-files.ts';
import { formulaMacOf } from './formula-values.ts';
import {
  configure,
  create,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  macsOf,
  startLibvirtd,
  startMachine,
  virsh,
  withHotplug,
} from './host.ts';
import { errorLines } from './log.ts';
import { until } from './until.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const failed = suite('failed starts');
const chosen = '52:54:00:12:34:56';
const random = '52:54:00:98:76:54';
const plugged = '52:54:00:98:76:55';
const disk = '/var/tmp/failed-starts.img';
const emulator = '/usr/local/bin/failing-emulator';
const foreignHook = '/etc/libvirt/hooks/qemu.d/99-foreign';
let machines = 0;

interface Test {
  readonly name: string;
  /** Returns its definition; without a MAC, libvirt makes one. */
  xml(mac?: string): string;
  /** Returns a definition with which QEMU ends before the machine runs. */
  endingXml(mac?: string): string;
}

/** Returns a machine that virlan has not seen, with a disk that `withDisk` makes. */
function newMachine(): Test {
  machines += 1;
  const name = `machine${machines}`;
  const uuid = `00000000-0000-4000-8000-${String(machines).padStart(12, '0')}`;
  const source = `<disk type='file'><driver type='raw'/><source file='${disk}'/><target dev='vda'/></disk>`;
  const xml = (mac?: string) =>
    domainXml({ name, uuid, nics: [{ type: 'bridge', source: 'k8s-br0', ...(mac && { mac }) }] }).replace(
      '<devices>',
      `<devices>${source}`,
    );
  const endingXml = (mac?: string) =>
    xml(mac).replace('<devices>', `<devices><emulator>${emulator}</emulator>`);
  return { name, xml, endingXml };
}

/** Does work while the disk of the machines exists. */
async function withDisk(work: () => Promise<unknown>): Promise<void> {
  writeFileSync(disk, Buffer.alloc(1 << 20));
  try {
    await work();
  } finally {
    rmSync(disk);
  }
}

async function macOf({ name }: Test): Promise<string> {
  return (await macsOf(name))[0] ?? '';
}

/** Resolves when the definition has this MAC, and keeps it. */
async function settlesOn(machine: Test, mac: string): Promise<void> {
  await until(async () => (await macOf(machine)) === mac, 3);
  await idle(machine.name);
  assert.equal(await macOf(machine), mac);
}

function entriesOf({ name }: Test) {
  return readLedger()
    .named('k8s-br0', name)
    .filter(({ retired }) => retired === null);
}

function entryOf(machine: Test) {
  return entriesOf(machine).find(({ nic }) => nic === 0);
}

/** Defines a machine and starts it over one connection: the start comes before the watcher writes its MAC. */
async function defineAndStart(xml: string, { name }: Test): Promise<void> {
  writeFileSync('/tmp/machine.xml', xml);
  await virsh(`define /tmp/machine.xml; start ${name}`);
}

const waysToFail: readonly (readonly [what: string, fail: (machine: Test) => Promise<unknown>])[] = [
  ['its disk is missing', ({ name }) => startMachine(name)],
  [
    'its QEMU ends before it runs',
    machine =>
      withDisk(async () => {
        await define(machine.endingXml(await macOf(machine)));
        await assert.rejects(startMachine(machine.name));
        await define(machine.xml(await macOf(machine)));
      }).then(() => Promise.reject(new Error('failed'))),
  ],
  [
    'another hook aborts it',
    ({ name }) => {
      writeFileSync(foreignHook, '#!/bin/sh\n[ "$2" != start ]\n');
      chmodSync(foreignHook, 0o755);
      return withDisk(() => startMachine(name).finally(() => rmSync(foreignHook)));
    },
  ],
];

for (const [what, fail] of waysToFail)
  failed(`the owner's MAC is kept after a start that fails because ${what}`, async () => {
    if (machines === 0) {
      await installVirlan();
      await configure('[network.k8s-br0]\nstp = no\n');
      mkdirSync('/etc/libvirt/hooks/qemu.d', { recursive: true });
      writeFileSync(
        emulator,
        '#!/bin/sh\ncase "$*" in *guest=*) exit 1 ;; esac\nexec qemu-system-x86_64 "$@"\n',
      );
      chmodSync(emulator, 0o755);
      await startLibvirtd();
      await startWatcher();
    }
    const machine = newMachine();
    await define(machine.xml());
    await settlesOn(machine, formulaMacOf(machine.name));
    await assert.rejects(fail(machine));
    await define(machine.xml(chosen));
    await settlesOn(machine, chosen);
    assert.equal(entryOf(machine)?.booted, false);
    // It can still boot, and then has the MAC that it booted with.
    await withDisk(async () => {
      await startMachine(machine.name);
      await destroyMachine(machine.name);
    });
    await define(machine.xml(random));
    await settlesOn(machine, chosen);
    await virsh('undefine', machine.name);
  });

failed(
  'a random MAC is replaced after a start that fails before the watcher has written its own',
  async () => {
    const machine = newMachine();
    await assert.rejects(defineAndStart(machine.xml(random), machine));
    await settlesOn(machine, formulaMacOf(machine.name));
  },
);

failed('a machine that has booted gets its MAC back after a start with another that fails', async () => {
  const machine = newMachine();
  await define(machine.xml(chosen));
  await settlesOn(machine, formulaMacOf(machine.name));
  await withDisk(() => startMachine(machine.name));
  await destroyMachine(machine.name);
  await assert.rejects(defineAndStart(machine.xml(random), machine));
  await settlesOn(machine, formulaMacOf(machine.name));
  assert.deepEqual(entryOf(machine)?.macs[0], formulaMacOf(machine.name));
  assert.equal(entryOf(machine)?.booted, true);
  // A start that changes nothing, and fails, changes nothing.
  await assert.rejects(startMachine(machine.name));
  assert.equal(entryOf(machine)?.booted, true);
});

failed('a machine that has booted and is off at once has booted', async () => {
  const machine = newMachine();
  await define(machine.xml());
  await settlesOn(machine, formulaMacOf(machine.name));
  await withDisk(() => virsh(`start ${machine.name}; destroy ${machine.name}`));
  await define(machine.xml(random));
  await settlesOn(machine, formulaMacOf(machine.name));
});

failed('a machine that is started paused, and ended before it runs, has not booted', async () => {
  const machine = newMachine();
  await defineAndStart(withHotplug(machine.xml(random)), machine).catch(() => {});
  await withDisk(async () => {
    await virsh(`start ${machine.name} --paused`);
    await idle(machine.name);
    assert.equal(entryOf(machine)?.booted, true, 'it may run');
    await virsh(`attach-interface ${machine.name} bridge k8s-br0 --mac ${plugged} --model virtio --live`);
    await until(() => entriesOf(machine).some(({ macs, ip }) => macs[0] === plugged && ip !== null));
    await idle(machine.name);
    await destroyMachine(machine.name);
    await until(() => entriesOf(machine).every(({ booted }) => !booted));
    for (const commands of [
      ['start --paused NAME; resume NAME; suspend NAME'],
      ['start NAME', 'suspend NAME'],
    ]) {
      const runs = newMachine();
      await define(runs.xml());
      await settlesOn(runs, formulaMacOf(runs.name));
      for (const command of commands) {
        await virsh(command.replaceAll('NAME', runs.name));
        await idle(runs.name);
      }
      await destroyMachine(runs.name);
      await define(runs.xml(random));
      await settlesOn(runs, formulaMacOf(runs.name));
      assert.equal(entryOf(runs)?.booted, true, commands.join());
    }
  });
});

failed('a machine that is started at once after a start that fails has booted', async () => {
  const machine = newMachine();
  await define(machine.xml());
  await settlesOn(machine, formulaMacOf(machine.name));
  await assert.rejects(startMachine(machine.name));
  await withDisk(async () => {
    await startMachine(machine.name);
    await idle(machine.name);
    await virsh('managedsave', machine.name);
  });
  // Restored, and then without its disk.
  await assert.rejects(startMachine(machine.name));
  await virsh('managedsave-remove', machine.name);
  await define(machine.xml(random));
  await settlesOn(machine, formulaMacOf(machine.name));
});

failed('a transient machine that does not start leaves no reservation', async () => {
  const machine = newMachine();
  await assert.rejects(create(machine.xml(random)));
  await until(() => entryOf(machine) === undefined);
});

failed('the watcher is killed before the end of a start', async () => {
  const machine = newMachine();
  await define(machine.xml());
  await settlesOn(machine, formulaMacOf(machine.name));
  writeFileSync(foreignHook, '#!/bin/sh\n[ "$2" != start ] || { sleep 2; exit 1; }\n');
  chmodSync(foreignHook, 0o755);
  await withDisk(async () => {
    const start = assert.rejects(startMachine(machine.name));
    await pause(1000);
    assert.equal(entryOf(machine)?.booted, true);
    await stopWatcher('SIGKILL');
    await start;
  });
  rmSync(foreignHook);
  assert.equal(entryOf(machine)?.booted, false);
});

failed('without a watcher, a start that fails is not a boot, and one that does not is', async () => {
  const [fails, boots] = [newMachine(), newMachine()];
  await define(fails.xml(random));
  await assert.rejects(startMachine(fails.name));
  assert.equal(entryOf(fails)?.booted, false);
  await define(boots.xml(random));
  await withDisk(() => virsh(`start ${boots.name}; destroy ${boots.name}`));
  assert.equal(entryOf(boots)?.booted, true);
  await startWatcher();
  await settlesOn(fails, formulaMacOf(fails.name));
  assert.equal(await macOf(boots), random);
  assert.deepEqual(errorLines(), []);
});

failed.run();
