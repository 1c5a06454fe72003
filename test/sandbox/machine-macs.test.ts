// Definitions keep the right MAC when people and tools write their own, with the watcher and a real libvirtd.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { formulaMacOf } from './formula-values.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  macsOf,
  type Nic,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
  withHotplug,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const machineMacs = suite('machine-macs');
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const uuid = (number: number | string) => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
const chosen = '52:54:00:12:34:56';

async function macOf(name: string): Promise<string> {
  await idle(name);
  return (await macsOf(name))[0] ?? '';
}

async function status(): Promise<string> {
  return (await virlan('status')).stdout;
}

machineMacs(
  'a machine redefined from a template without a MAC gets back the one it booted with',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\n');
    await startLibvirtd();
    await startWatcher();
    const template = domainXml({ name: 'pinned', uuid: uuid(1), nics: [onBridge] });
    await define(template);
    await until(async () => (await macOf('pinned')) === formulaMacOf('pinned'), 30);
    await startMachine('pinned');
    await destroyMachine('pinned');
    await define(template);
    await until(async () => (await macOf('pinned')) === formulaMacOf('pinned'), 30);
  },
);

machineMacs(
  'a machine that is redefined while it runs, and stops at once, gets back the one it booted with',
  async () => {
    // libvirt takes the new definition over when the machine stops. What the watcher reads may be from before that or
    // from after it: this takes some rounds.
    for (const round of [5, 6, 7, 8, 9]) {
      const name = `short${round}`;
      const template = domainXml({ name, uuid: uuid(round), nics: [onBridge] });
      await define(template);
      await until(async () => (await macOf(name)) === formulaMacOf(name), 30);
      await startMachine(name);
      await define(template);
      await destroyMachine(name);
      await until(async () => (await macOf(name)) === formulaMacOf(name), 10);
    }
  },
);

const waysFromImage: readonly (readonly [what: string, start: (name: string) => Promise<unknown>])[] = [
  ['restored', name => startMachine(name)],
  ['removed', async name => [await virsh('managedsave-remove', name), await startMachine(name)]],
  ['ignored', name => virsh('start', name, '--force-boot')],
];
for (const [number, [what, start]] of waysFromImage.entries())
  machineMacs(
    `a machine that is redefined while it is saved keeps its MAC if its image is ${what}`,
    async () => {
      const name = `image-${what}`;
      const template = domainXml({ name, uuid: uuid(`1${number}`), nics: [onBridge] });
      const runsWith = async () => /<mac address='([^']+)'/.exec(await virsh('dumpxml', name))?.[1];
      await define(template);
      await until(async () => (await macOf(name)) === formulaMacOf(name), 30);
      await startMachine(name);
      await virsh('managedsave', name);
      await define(template);
      await idle(name);
      await start(name);
      await idle(name);
      assert.equal(await runsWith(), formulaMacOf(name));
      await destroyMachine(name);
      assert.equal(await macOf(name), formulaMacOf(name));
      await startMachine(name);
      assert.equal(await runsWith(), formulaMacOf(name));
      await destroyMachine(name);
    },
  );

machineMacs(
  'a machine that is defined again without its UUID keeps the MAC that it booted with',
  async () => {
    const xml = domainXml({ name: 'again', nics: [{ ...onBridge, mac: chosen }] });
    // With the watcher, it is decided by chance whether the start comes before the watcher writes its MAC.
    await stopWatcher();
    await define(xml);
    await startMachine('again');
    await startWatcher();
    await idle('again');
    await destroyMachine('again');
    assert.equal(await macOf('again'), chosen);
    await virsh('undefine', 'again');
    await define(xml);
    assert.equal(await macOf('again'), chosen);
    await virsh('undefine', 'again');
  },
);

machineMacs('a MAC that replaces the assigned one before the first boot is kept', async () => {
  const xml = domainXml({ name: 'mine', uuid: uuid(2), nics: [{ ...onBridge, mac: chosen }] });
  await define(xml);
  await until(async () => (await macOf('mine')) === formulaMacOf('mine'), 30);
  const [replaced] = logLinesOf('macs-assigned').filter(({ machine }) => machine === 'mine');
  assert.deepEqual([replaced?.macs, replaced?.was], [[formulaMacOf('mine')], [chosen]]);
  const hasWas = async () => / REPLACED MAC\n(?:.*\n)* +mine .* 52:54:00:12:34:56$/m.test(await status());
  assert(await hasWas(), await status());
  const { stdout } = await virlan('doctor', 'mine');
  assert(stdout.includes(`${formulaMacOf('mine')} (was ${chosen})`), stdout);
  await define(xml);
  assert.equal(await macOf('mine'), chosen);
  await startMachine('mine');
  assert.equal(await macOf('mine'), chosen);
  assert(!(await hasWas()));
});

machineMacs(
  'a tool that insists on its MAC is left alone after three rewrites, and status says so',
  async () => {
    const xml = domainXml({ name: 'fought', uuid: uuid(3), nics: [onBridge] });
    await define(xml);
    await until(async () => (await macOf('fought')) === formulaMacOf('fought'), 30);
    await startMachine('fought');
    await destroyMachine('fought');
    const insisting = domainXml({
      name: 'fought',
      uuid: uuid(3),
      nics: [{ ...onBridge, mac: '52:54:00:65:43:21' }],
    });
    const written = () => logLinesOf('macs-assigned').filter(({ machine }) => machine === 'fought').length;
    const before = written();
    for (let time = 0; time < 6; time++) {
      await define(insisting);
      await idle('fought');
    }
    assert.equal(await macOf('fought'), '52:54:00:65:43:21');
    assert(written() - before <= 3);
    assert.match(await status(), /MAC of fought \(NIC 0 on k8s-br0\) .*left alone until/);
  },
);

machineMacs('a hot-plug that fails leaves no NIC in status and no line in the hostsfile', async () => {
  await define(withHotplug(domainXml({ name: 'hot', uuid: uuid(4), nics: [onBridge] })));
  await until(async () => (await macOf('hot')) === formulaMacOf('hot'), 30);
  await startMachine('hot');
  const mac = '52:54:00:77:77:02';
  const plug = (model: string) =>
    virsh('attach-interface', 'hot', 'network', 'k8s-br0', '--mac', mac, '--model', model, '--live');
  await assert.rejects(plug('no-such-model'));
  const reserved = () => readFileSync('/var/lib/dnsmasq/k8s-br0/hostsfile', 'utf8').includes(mac);
  await until(async () => !reserved() && !(await status()).includes(mac));
  await plug('virtio');
  await idle('hot');
  assert(reserved());
  // Unplugging is not a failure: the NIC may come back and gets its address again.
  await virsh('destroy', 'hot');
  await idle('hot');
  assert(reserved());
});

machineMacs.run();
