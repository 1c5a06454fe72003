// The example contrib/examples/kubernetes: three nodes, with an image made here.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { makeCloudImage } from './cloud-image.ts';
import { formulaAddressOf, formulaMacOf } from './formula-values.ts';
import { configure, destroyMachine, installVirlan, startLibvirtd, startMachine, virsh } from './host.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';
import { startWatcher } from './watcher.ts';

// These tests cover booting from disk, the NoCloud seed and the address; not a distribution's cloud-init or
// kubeadm.
const kubernetes = suite('kubernetes');

const nodes = ['node-1', 'node-2', 'node-3'];
const images = '/var/lib/libvirt/images';
const image = '/tmp/cloud.img';

function threeNodes(...args: string[]) {
  return execa(`${checkout}/contrib/examples/kubernetes/three-nodes.sh`, args, {
    env: { HOME: '/tmp', MEMORY: '256', GROWTH: '1M', VIRT_TYPE: 'qemu' },
    reject: false,
    timeout: 120_000,
  });
}

/** Waits until a node has found the others. Returns the NODE and PEER lines of its console. */
async function reportOf(node: string): Promise<string[]> {
  const read = () => readFileSync(`${images}/${node}.log`, 'utf8');
  await until(() => /^DONE\r?$/m.test(read()), 90).catch(error => {
    throw new Error(`${error.message}; console of ${node}:\n${read()}`);
  });
  return read()
    .split(/\r?\n/)
    .filter(line => /^(NODE|PEER) /.test(line));
}

function expectedReport(node: string): string[] {
  return [
    `NODE ${node} ${formulaMacOf(node)} ${formulaAddressOf(node)}`,
    ...nodes.map(peer => `PEER ${peer} ${formulaAddressOf(peer)}`),
  ];
}

kubernetes.before(async () => {
  await execa('mkdir', ['-p', images]);
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
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
    assert.match(stdout, new RegExp(`^${node} +${formulaMacOf(node)} +${formulaAddressOf(node)}$`, 'm'));
  for (const node of nodes) assert.deepEqual(await reportOf(node), expectedReport(node));
});

kubernetes('a cold start does not change MACs, addresses and names', async () => {
  await Promise.all(nodes.map(destroyMachine));
  await Promise.all(nodes.map(startMachine));
  for (const node of nodes) assert.deepEqual(await reportOf(node), expectedReport(node));
});

kubernetes('existing nodes are not overwritten', async () => {
  const { exitCode, stderr } = await threeNodes(image);
  assert.equal(exitCode, 1);
  assert.match(stderr, /a machine node-1 exists already/);
});

kubernetes.run();
