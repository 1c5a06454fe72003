// The example contrib/examples/kubernetes: three nodes, with an image made here.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf, formulaMacOf } from '../sandbox/formula-values.ts';
import {
  configure,
  destroyMachine,
  host,
  installVirlan,
  internet,
  type Linked,
  type Namespace,
  run,
  startLibvirtd,
  startMachine,
  virsh,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { checkout } from '../sandbox/virlan.ts';
import { startWatcher } from '../sandbox/watcher.ts';
import { makeCloudImage } from './cloud-image.ts';

// These tests cover booting from disk, the NoCloud seed, addresses, names, the forward and the virtual address; not a
// distribution's cloud-init, kubeadm or kube-vip.
const kubernetes = suite('kubernetes');

const nodes = ['node-1', 'node-2', 'node-3'];
const images = '/var/lib/libvirt/images';
const image = '/tmp/cloud.img';
const virtualAddress = '192.168.100.240';
const config = [
  '[network.k8s-br0]',
  'stp = no',
  'guard = strict',
  'dhcp-range = 192.168.100.2-192.168.100.239',
].join('\n');
let outside: Linked;

function addressOf(node: string): string {
  return formulaAddressOf(node, 0, config);
}

/** Runs the example with a virtual address. */
function threeNodes(...args: string[]) {
  return execa(`${checkout}/contrib/examples/kubernetes/three-nodes.sh`, args, {
    env: { HOME: '/tmp', MEMORY: '256', GROWTH: '1M', VIRT_TYPE: 'qemu', VIRTUAL_ADDRESS: virtualAddress },
    reject: false,
    timeout: 120_000,
  });
}

/** Waits until a node has found the others. Returns the NODE, PEER and API lines of its console. */
async function reportOf(node: string): Promise<string[]> {
  const read = () => readFileSync(`${images}/${node}.log`, 'utf8');
  await until(() => /^DONE\r?$/m.test(read()), 90).catch(error => {
    throw new Error(`${error.message}; console of ${node}:\n${read()}`);
  });
  return read()
    .split(/\r?\n/)
    .filter(line => /^(NODE|PEER|API) /.test(line));
}

function expectedReport(node: string): string[] {
  return [
    `NODE ${node} ${formulaMacOf(node)} ${addressOf(node)}`,
    ...nodes.map(peer => `PEER ${peer} ${addressOf(peer)}`),
    `API ${virtualAddress}`,
  ];
}

/** Returns the name of the node that answers at an address; the empty string if none does. */
async function answering(from: Namespace, address: string): Promise<string> {
  const silent = ['--silent', '--max-time', '2', `http://${address}:6443/`];
  return (await run(from, 'curl', ...silent).catch(() => '')).trim();
}

/** Returns the node that has the virtual address, as the host sees it, when it is one of these. */
async function holderAmong(expected: readonly string[]): Promise<string> {
  let found = '';
  await until(async () => {
    found = await answering(host, virtualAddress);
    return expected.includes(found);
  }, 60).catch(() => assert.fail(`${found} has it, not ${expected}`));
  return found;
}

/** Replaces the metadata of a running node. */
async function setMetadata(node: string, children: string): Promise<void> {
  const place = ['--uri', 'urn:virlan:machine:1', '--key', 'virlan', '--live', '--config'];
  await virsh('metadata', node, ...place, '--set', `<machine>${children}</machine>`);
}

kubernetes.before(async () => {
  await execa('mkdir', ['-p', images]);
  await installVirlan();
  outside = await internet();
  await configure(config);
  await startLibvirtd();
});

kubernetes('without a network or an image the example reports it and creates nothing', async () => {
  const noNetwork = await threeNodes('/etc/hostname');
  assert.equal(noNetwork.exitCode, 1);
  assert.match(noNetwork.stderr, /libvirt has no network k8s-br0/);
  await startWatcher();
  await until(async () => /k8s-br0 +active/.test(await virsh('net-list')));
  const noImage = await threeNodes('/nowhere.img');
  assert.deepEqual([noImage.exitCode, noImage.stderr], [1, 'three-nodes.sh: /nowhere.img cannot be read']);
  assert.equal((await threeNodes()).exitCode, 2);
  assert.deepEqual(readdirSync(images), []);
});

kubernetes('three nodes boot from one image, each with its own MAC, address and name', async () => {
  await makeCloudImage(image);
  const { exitCode, stdout, stderr } = await threeNodes(image);
  assert.equal(exitCode, 0, stderr);
  for (const node of nodes)
    assert.match(stdout, new RegExp(`^${node} +${formulaMacOf(node)} +${addressOf(node)}$`, 'm'));
  for (const node of nodes) assert.deepEqual(await reportOf(node), expectedReport(node));
});

kubernetes('a cold start does not change MACs, addresses and names', async () => {
  await Promise.all(nodes.map(destroyMachine));
  await Promise.all(nodes.map(startMachine));
  for (const node of nodes) assert.deepEqual(await reportOf(node), expectedReport(node));
});

kubernetes('the API server of node-1 is reached from outside at the port of the host', async () => {
  assert.equal(await answering(outside, '203.0.113.1'), 'node-1');
});

kubernetes(
  'the virtual address moves to another node, and only those have it that are allowed to',
  async () => {
    const first = await holderAmong(nodes);
    await destroyMachine(first);
    const second = await holderAmong(nodes.filter(node => node !== first));
    await setMetadata(second, '');
    await until(async () => {
      await run(host, 'ip', 'neighbour', 'flush', 'to', virtualAddress);
      return (await answering(host, virtualAddress)) !== second;
    }, 60);
    await setMetadata(second, `<allow address="${virtualAddress}"/>`);
    await holderAmong(nodes);
  },
);

kubernetes('existing nodes are not overwritten', async () => {
  const { exitCode, stderr } = await threeNodes(image);
  assert.equal(exitCode, 1);
  assert.match(stderr, /a machine node-1 exists already/);
});

kubernetes.run();
