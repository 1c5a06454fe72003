// Forwards of machines of a real libvirtd: they come and go with the machine, and change live.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import { forwardMetadata } from './forwarding.ts';
import {
  configure,
  define,
  destroyMachine,
  domainXml,
  installVirlan,
  type Nic,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
} from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const live = suite('forwards, live');
const onBridge: Nic = { type: 'bridge', source: 'k8s-br0' };
const namespace = 'urn:virlan:machine:1';

/** Returns the forwards in the kernel: `tcp 8443 443`, sorted. */
async function inKernel(): Promise<string[]> {
  const { stdout } = await execa('nft', ['-n', 'list', 'map', 'ip', 'virlan-k8s-br0', 'ports']);
  const elements = [...stdout.matchAll(/\. (6|17) \. (\d+) : [\d.]+ \. (\d+)/g)];
  return elements.map(([, protocol, port, to]) => `${protocol === '6' ? 'tcp' : 'udp'} ${port} ${to}`).sort();
}

async function become(...expected: string[]): Promise<void> {
  let found: string[] = [];
  await until(async () => {
    found = await inKernel();
    return JSON.stringify(found) === JSON.stringify(expected);
  }).catch(() => assert.deepEqual(found, expected));
}

function setMetadata(...forwards: string[]): Promise<string> {
  const element = forwardMetadata(...forwards).replace(/virlan:| xmlns:virlan="[^"]*"/g, '');
  return virsh(
    'metadata',
    'web',
    '--uri',
    namespace,
    '--key',
    'virlan',
    '--live',
    '--config',
    '--set',
    element,
  );
}

live('a machine has its forwards while it runs, with the watcher and without', async () => {
  await installVirlan();
  await configure(
    '[network.k8s-br0]\nstp = no\nfirewall = nftables\n[machine.web]\nforward = udp/53:5353 on 203.0.113.1\n',
  );
  await startLibvirtd();
  await startWatcher();
  const metadata = forwardMetadata('port="8443" to="443"');
  await define(domainXml({ name: 'web', nics: [onBridge], metadata }));
  await startMachine('web');
  assert.deepEqual(await inKernel(), ['tcp 8443 443', 'udp 53 5353']);
  await destroyMachine('web');
  assert.deepEqual(await inKernel(), []);
  await stopWatcher('SIGKILL');
  await startMachine('web');
  assert.deepEqual(await inKernel(), ['tcp 8443 443', 'udp 53 5353']);
  await destroyMachine('web');
  assert.deepEqual(await inKernel(), []);
});

live('a change of the metadata applies at once, and what others remove is put back', async () => {
  await startMachine('web');
  await startWatcher();
  await setMetadata('port="8443" to="443"', 'port="9000"');
  await become('tcp 8443 443', 'tcp 9000 9000', 'udp 53 5353');
  await setMetadata('port="9000" to="90"');
  await become('tcp 9000 90', 'udp 53 5353');
  await execa('nft', ['flush', 'map', 'ip', 'virlan-k8s-br0', 'ports']);
  await become('tcp 9000 90', 'udp 53 5353');
  await execa('nft', ['flush', 'ruleset']);
  await until(async () => (await inKernel().catch(() => [])).length === 2, 2);
  await virsh('managedsave', 'web');
  await become();
  await startMachine('web');
  await become('tcp 9000 90', 'udp 53 5353');
});

live('virlan forward lists, adds and removes, in the definition and live', async () => {
  const forward = async (...args: string[]) => virlan('forward', 'web', ...args);
  const added = await forward('tcp/9100:91', 'tcp/9200');
  assert.equal(added.exitCode, 0, added.stderr);
  await become('tcp 9000 90', 'tcp 9100 91', 'tcp 9200 9200', 'udp 53 5353');
  assert.match(added.stdout, /^tcp\/9100:91 {2}active$/m);
  assert.match(added.stdout, /^udp\/53:5353 on 203\.0\.113\.1 {2}active {2}\(virlan\.ini\)$/m);
  assert.match(await virsh('dumpxml', '--inactive', 'web'), /<virlan:forward port=['"]9200['"]\/>/);
  assert.equal((await forward('tcp/9100:91', 'tcp/9200', '--remove')).exitCode, 0);
  await become('tcp 9000 90', 'udp 53 5353');
  const again = await forward('tcp/9200', '--remove');
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, /the metadata of "web" has no forward tcp\/9200/);
  const listed = JSON.parse((await forward('--json')).stdout);
  assert.deepEqual(listed.forwards[1], {
    forward: 'tcp/9000:90',
    source: 'metadata',
    active: true,
    problem: null,
  });
  for (const [args, exitCode, line] of [
    [['web', 'tcp/0'], 2, /"tcp\/0" is not a forward: write tcp\/8443:443/],
    [['web', '--remove'], 2, /forward --remove needs the forwards/],
    [['nobody', 'tcp/9300'], 1, /there is no machine "nobody"/],
  ] as const) {
    const failed = await virlan('forward', ...args);
    assert.equal(failed.exitCode, exitCode, failed.stderr);
    assert.match(failed.stderr, line);
  }
});

live('a renamed machine keeps its forwards, and a bad one is one line of the log', async () => {
  await destroyMachine('web');
  await virsh('domrename', 'web', 'shop');
  await startMachine('shop');
  await become('tcp 9000 90');
  await virsh(
    ...['metadata', 'shop', '--uri', namespace, '--key', 'virlan', '--live'],
    ...['--set', '<machine><forward port="9000" to="90"/><forward port="0"/></machine>'],
  );
  const refused = () => logLinesOf('forward-refused').filter(({ machine }) => machine === 'shop');
  await until(() => refused().length > 0);
  await virlan('up');
  assert.equal(refused().length, 1);
  assert.match((await virlan('status')).stdout, /machine shop: a forward in its metadata has port="0"/);
  await stopWatcher();
});

live.run();
