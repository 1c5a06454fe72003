// The order of calls of tools that remember a machine's MAC and search for a lease of it, with libvirt's
// Python binding: with a start at once (Terraform), and some time later (minikube, kcli).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { destroyMachine, macsOf, undefine } from '../sandbox/host.ts';
import { checkout } from '../sandbox/virlan.ts';
import { idle } from '../sandbox/watcher.ts';
import { networkIsActive, startHost } from './client-host.ts';

const python = suite('python');

/** The network on which MACs are assigned by the formula; on k8s-br0 they are kept. */
const assigning = '[network.lab]\nsubnet = 192.168.101.0/24\nstp = no\n';

interface Found {
  readonly remembered: readonly string[];
  readonly live: readonly string[];
  /** For each remembered MAC, the address leased to it, or null. */
  readonly addresses: readonly (string | null)[];
  /** The output of `virsh domifaddr`. */
  readonly byDomain: readonly string[];
}

/**
 * Runs lease_by_mac.py and returns what it prints. The tool starts its machine at once, or when virlan has
 * processed its definition. Afterwards the machine is gone.
 */
async function runTool(name: string, start: 'at once' | 'later', ...nics: string[]): Promise<Found> {
  const args = [`${checkout}/test/clients/lease_by_mac.py`, name, ...nics];
  const tool = execa('python3', args, { timeout: 300_000 });
  if (start === 'later') {
    await Promise.race([once(tool.stdout, 'data'), tool]);
    await idle(name);
  }
  tool.stdin.end('\n');
  const found: Found = JSON.parse((await tool).stdout.split('\n').at(-1) ?? '');
  assert.deepEqual(await macsOf(name), found.live, 'the definition differs from the running machine');
  await destroyMachine(name);
  await undefine(name);
  return found;
}

python.before(async () => {
  await startHost(`[network.k8s-br0]\nstp = no\ndefault-network = replace\nmac = keep\n${assigning}`);
  await networkIsActive('default');
  await networkIsActive('lab');
});

python(
  'Terraform: with a start at once, each cycle finds the lease of its MAC, at the same address',
  async () => {
    const address = formulaAddressOf('quick', 0, assigning);
    for (const _cycle of [1, 2]) {
      const found = await runTool('quick', 'at once', 'lab');
      assert.deepEqual(found.live, found.remembered);
      assert.deepEqual([found.addresses, found.byDomain], [[address], [address]]);
    }
  },
);

python('minikube: with mac = keep, a start some time after the definition changes no MAC', async () => {
  const found = await runTool('minikube', 'later', 'default', 'k8s-br0');
  assert.deepEqual(found.live, found.remembered);
  assert.deepEqual(found.addresses, [formulaAddressOf('minikube', 0), formulaAddressOf('minikube', 1)]);
  assert.deepEqual(found.byDomain, found.addresses);
});

python("kcli: with mac = keep, a MAC that its user chose is the machine's", async () => {
  const mac = '52:54:00:ab:cd:ef';
  const found = await runTool('chosen', 'later', `k8s-br0=${mac}`);
  assert.deepEqual([found.live, found.addresses], [[mac], [formulaAddressOf('chosen')]]);
});

python.run();
