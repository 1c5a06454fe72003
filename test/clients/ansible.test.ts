// Ansible with community.libvirt: modules virt and virt_net, and the inventory plugin.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { define, domainXml, leaseOf, macsOf } from '../sandbox/host.ts';
import { checkout } from '../sandbox/virlan.ts';
import { idle } from '../sandbox/watcher.ts';
import { startHost } from './client-host.ts';

const ansible = suite('ansible');

const machines = ['chosen', 'formula', 'wished'];

const wishedAddresses: Readonly<Record<string, string>> = { wished: '192.168.100.50' };

const env = { HOME: '/tmp', LC_ALL: 'C.UTF-8', ANSIBLE_LOCALHOST_WARNING: 'false' };

/** The output of the callback "json", as far as it is read here. */
interface Play {
  readonly plays: readonly {
    readonly tasks: readonly {
      readonly task: { readonly name: string };
      readonly hosts: { readonly localhost: Record<string, unknown> };
    }[];
  }[];
  readonly stats: { readonly localhost: { readonly changed: number; readonly failures: number } };
}

/** Runs the playbook. Throws with its output if a task fails. */
async function play(): Promise<Play> {
  const { stdout } = await execa('ansible-playbook', [`${checkout}/test/clients/playbook.yml`], {
    env: { ...env, ANSIBLE_STDOUT_CALLBACK: 'json' },
    timeout: 300_000,
  });
  return JSON.parse(stdout);
}

/** Runs the module virt by itself. Throws with its output if it fails. */
async function virtModule(parameters: Record<string, string>): Promise<void> {
  const args = ['localhost', '-m', 'community.libvirt.virt', '-a', JSON.stringify(parameters)];
  await execa('ansible', args, { env, timeout: 120_000 });
}

/** Returns the result of a task. */
function resultOf({ plays }: Play, name: string): Record<string, unknown> {
  const task = plays.flatMap(({ tasks }) => tasks).find(({ task }) => task.name === name);
  assert(task, `no task ${name}`);
  return task.hosts.localhost;
}

ansible.before(() => startHost('[network.k8s-br0]\nstp = no\n'));

ansible("a play defines machines and starts them, and lists virlan's network", async () => {
  const first = await play();
  assert.equal(resultOf(first, 'machines are defined').changed, true);
  assert.equal(resultOf(first, 'machines run').changed, true);
  const { list_nets } = resultOf(first, 'networks are listed');
  assert((list_nets as string[]).includes('k8s-br0'));
  const facts = resultOf(first, 'facts of networks').ansible_facts as {
    ansible_libvirt_networks: Record<string, Record<string, unknown>>;
  };
  const { state, autostart, bridge, forward_mode } = facts.ansible_libvirt_networks['k8s-br0'] ?? {};
  assert.deepEqual([state, autostart, bridge, forward_mode], ['active', 'yes', 'k8s-br0', 'bridge']);
});

ansible('each machine is leased the address of its name, or the one in its metadata', async () => {
  for (const name of machines) {
    const [mac = ''] = await macsOf(name);
    assert.equal((await leaseOf(mac, 120)).ip, wishedAddresses[name] ?? formulaAddressOf(name));
  }
});

ansible(
  'a MAC that does not begin with 52:54:00, and one with mac="keep", are those of the template',
  async () => {
    assert.deepEqual(await macsOf('chosen'), ['02:00:00:aa:bb:01']);
    assert.deepEqual(await macsOf('wished'), ['52:54:00:aa:bb:01']);
  },
);

ansible('a second play changes nothing', async () => {
  const before = await Promise.all(machines.map(macsOf));
  const second = await play();
  assert.deepEqual(second.stats.localhost.changed, 0, JSON.stringify(second, null, 1));
  assert.deepEqual(await Promise.all(machines.map(macsOf)), before);
});

ansible('a template with a UUID and without a MAC leaves a machine the MAC that it booted with', async () => {
  const xml = domainXml({
    name: 'template',
    uuid: '6f6b3c1e-0000-4000-8000-000000000004',
    nics: [{ type: 'network', source: 'k8s-br0' }],
  });
  const defineAgain = () => virtModule({ command: 'define', xml });
  await defineAgain();
  await virtModule({ name: 'template', state: 'running' });
  const before = await macsOf('template');
  assert.equal((await leaseOf(before[0] ?? '', 120)).ip, formulaAddressOf('template'));
  await virtModule({ name: 'template', state: 'destroyed' });
  await defineAgain();
  await idle('template');
  assert.deepEqual(await macsOf('template'), before);
});

ansible('the inventory plugin lists the machines', async () => {
  const inventory = '/tmp/inventory.libvirt.yml';
  writeFileSync(inventory, 'plugin: community.libvirt.libvirt\nuri: qemu:///system\n');
  const { stdout } = await execa('ansible-inventory', ['-i', inventory, '--list'], {
    env: { ...env, ANSIBLE_INVENTORY_ENABLED: 'community.libvirt.libvirt' },
  });
  const { hostvars } = JSON.parse(stdout)._meta;
  const listed = [...machines, 'template'];
  assert.equal(Object.keys(hostvars).length, listed.length);
  for (const name of listed) assert(stdout.includes(name), stdout);
});

ansible('the inventory of virlan has the machines with their addresses, and no hostile text', async () => {
  const hostile = "{{ lookup('pipe', 'cd; touch pwned') }}";
  await define(domainXml({ name: hostile, nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
  await idle(hostile);
  const script = `${checkout}/contrib/ansible/virlan-inventory`;
  const { stdout } = await execa('ansible-inventory', ['-i', script, '--list'], { env });
  const { _meta, ...groups } = JSON.parse(stdout);
  for (const name of machines) {
    assert.equal(_meta.hostvars[name].ansible_host, wishedAddresses[name] ?? formulaAddressOf(name));
    assert(groups.k8s_br0.hosts.includes(name));
    assert(groups.virlan_running.hosts.includes(name));
  }
  assert.equal(groups.virlan_shut_off.hosts.length, 2, 'template and the hostile one');
  // Each variable of each host is evaluated.
  const debug = ['-i', script, 'all', '--connection', 'local', '-m', 'debug', '-a'];
  const shown = await execa('ansible', [...debug, 'msg={{ hostvars[inventory_hostname] | to_json }}'], {
    env,
  });
  assert.match(shown.stdout, /"virlan_name": null|\\"virlan_name\\": null/);
  assert(!existsSync('/tmp/pwned'));
  const one = await execa(script, ['--host', 'wished'], { env: { ...process.env } });
  assert.equal(JSON.parse(one.stdout).ansible_host, '192.168.100.50');
});

ansible.run();
