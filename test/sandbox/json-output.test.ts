// JSON output on a real host has the form of the schemas in docs/schema.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { assertForm } from '../json-forms.ts';
import {
  configure,
  define,
  domainXml,
  installVirlan,
  internet,
  leaseOf,
  macsOf,
  type Nic,
  startLibvirtd,
  startMachine,
  virlan,
} from './host.ts';
import { up } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const output = suite('JSON output');

const nics: Nic[] = [{ type: 'bridge', source: 'k8s-br0' }];

/** Runs a command with --json, asserts its exit code and the form of its output, and returns that. */
async function json(form: 'status' | 'plan' | 'doctor', expectedExit: number, ...more: string[]) {
  const { exitCode, stdout } = await virlan(form, '--json', ...more);
  const value = JSON.parse(stdout);
  assertForm(form, value);
  assert.equal(exitCode, expectedExit, stdout);
  return value;
}

/** Returns the kinds of the steps that `virlan plan` would take for a network. */
async function plannedKinds(network: string): Promise<string[]> {
  const plan = await json('plan', 3);
  return plan[`network ${network}`].map((step: { do: string }) => step.do);
}

output('the plan and the status of networks that are not there', async () => {
  await installVirlan();
  await configure(
    '[network.k8s-br0]\nstp = no\n[network.lab]\nsubnet = 10.9.0.0/24\nmode = routed\nfirewall = iptables\n' +
      '[host.printer]\nnetwork = lab\nmac = 52:54:00:00:00:10\nip = 10.9.0.10\n' +
      '[machine.web]\naliases = api, *.apps\nforward = tcp/8443:443\n',
  );
  await internet();
  const kinds = await plannedKinds('k8s-br0');
  for (const kind of ['add bridge', 'add address', 'set sysctl', 'write file', 'load rules', 'start dnsmasq'])
    assert(kinds.includes(kind), `${kind} in ${kinds}`);
  const status = await json('status', 0);
  assert.deepEqual(
    status.networks.map(({ up }: { up: boolean }) => up),
    [false, false],
  );
  await json('doctor', 1);
  await startLibvirtd();
});

output('the plan of a host that is right, and of one that differs in many ways', async () => {
  await up();
  assert.equal((await json('plan', 0)).changes, 0);
  await execa('nft', ['flush', 'table', 'ip', 'virlan-k8s-br0']);
  await execa('ip', ['link', 'set', 'k8s-br0', 'mtu', '1400']);
  await execa('ip', ['address', 'flush', 'dev', 'k8s-br0']);
  rmSync('/var/lib/dnsmasq/k8s-br0/dnsmasq.conf');
  const kinds = await plannedKinds('k8s-br0');
  for (const kind of ['set link', 'add address', 'load rules', 'write file', 'stop dnsmasq'])
    assert(kinds.includes(kind), `${kind} in ${kinds}`);
  await json('doctor', 1, '--verbose');
  await json('doctor', 0, '--fix');
  await json('plan', 0);
});

output('the status of machines with and without the watcher, and the guard in a plan', async () => {
  await startWatcher();
  await define(domainXml({ name: 'web', nics }));
  await define(domainXml({ name: 'off <b>, $(x)', nics }));
  await startMachine('web');
  const [mac = ''] = await macsOf('web');
  await leaseOf(mac, 120);
  const { watcher, networks } = await json('status', 0);
  assert.deepEqual([watcher.running, watcher.libvirt], [true, 'connected']);
  const [{ machines }] = networks;
  const web = machines.find(({ name }: { name: string }) => name === 'web');
  assert.equal(web.lease.ip, web.ip);
  assert.deepEqual([web.aliases, web.forwards.length], [['api', '*.apps'], 1]);
  await json('doctor', 1, 'wbe');
  await stopWatcher();
  assert.equal((await json('status', 0)).watcher.running, false);

  const { stdout: listing } = await execa('nft', ['list', 'tables', 'bridge']);
  if (listing.includes('virlan-k8s-br0')) {
    await execa('nft', ['flush', 'set', 'bridge', 'virlan-k8s-br0', 'own_macs']);
    assert.deepEqual(await plannedKinds('k8s-br0'), ['change guard']);
    await execa('nft', ['delete', 'table', 'bridge', 'virlan-k8s-br0']);
    assert.deepEqual(await plannedKinds('k8s-br0'), ['load guard']);
  }
});

output.run();
