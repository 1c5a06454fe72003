// The Ansible role of contrib/ansible: the first installation, a second play, changes, faults and check mode.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { startLibvirtd } from '../sandbox/host.ts';
import { buildPackages, ini, isUp } from '../sandbox/packaging.ts';
import { checkout } from '../sandbox/virlan.ts';
import { startWatcher } from '../sandbox/watcher.ts';
import { addPrograms } from './client-host.ts';

const role = suite('ansible role');

const env = { HOME: '/tmp', LC_ALL: 'C.UTF-8', ANSIBLE_STDOUT_CALLBACK: 'json' };
const directory = `${checkout}/contrib/ansible`;
let deb = '';

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const wanted = { subnet: '10.20.0.0/24', stp: false, 'host-allow': ['tcp/5000', 'udp/123'] };

/** Returns the names of tasks that report a change, or throws with the output of the play if one fails. */
async function play(sections: Sections, ...args: string[]): Promise<string[]> {
  const variables = { virlan_package: deb, virlan_config: sections, ansible_become: false };
  const connection = ['--inventory', 'localhost,', '--connection', 'local'];
  const { stdout } = await execa(
    'ansible-playbook',
    [...connection, '--extra-vars', JSON.stringify(variables), ...args, `${directory}/playbook.yml`],
    { env, timeout: 300_000 },
  );
  const tasks: { task: { name: string }; hosts: { localhost: { changed: boolean } } }[] =
    JSON.parse(stdout).plays[0].tasks;
  return tasks
    .filter(({ hosts }) => hosts.localhost.changed)
    .map(({ task }) => task.name.replace('virlan : ', ''));
}

const check = (sections: Sections) => play(sections, '--check');

role.before(async () => {
  await addPrograms();
  rmSync('/etc/libvirt/qemu/networks', { recursive: true });
  rmSync('/usr/sbin/policy-rc.d', { force: true });
  await startLibvirtd();
  [deb = ''] = await buildPackages('/tmp/packages', 'virlan-standalone');
});

role('ansible-lint finds nothing', async () => {
  const { exitCode, all } = await execa(
    'ansible-lint',
    ['--offline', '--nocolor', '--strict', 'playbook.yml', 'roles'],
    {
      cwd: directory,
      env: { HOME: '/tmp', LC_ALL: 'C.UTF-8' },
      reject: false,
      all: true,
    },
  );
  assert.equal(exitCode, 0, all);
});

role('check mode on a host without virlan announces the package, and does nothing', async () => {
  assert.deepEqual(await check({ 'network.lab': wanted }), ['Copy the package']);
  assert(!existsSync('/usr/sbin/virlan'));
});

role('the first play installs the package, writes virlan.ini and sets up the network', async () => {
  assert.deepEqual(await play({ 'network.lab': wanted }), [
    'Copy the package',
    'Install the .deb',
    'Write virlan.ini',
    'Compare the host with virlan.ini',
  ]);
  assert.match(
    readFileSync(ini, 'utf8'),
    /\n\[network\.lab\]\nsubnet = 10\.20\.0\.0\/24\nstp = no\nhost-allow = tcp\/5000, udp\/123\n$/,
  );
  assert(await isUp());
  const { stdout } = await execa('ip', ['-brief', 'address', 'show', 'dev', 'lab']);
  assert.match(stdout, /10\.20\.0\.1\/24/);
});

role('a second play changes nothing, nor would one in check mode', async () => {
  assert.deepEqual(await play({ 'network.lab': wanted }), []);
  assert.deepEqual(await check({ 'network.lab': wanted }), []);
});

role('a change of the variables is shown by check mode, and made by a play', async () => {
  const before = readFileSync(ini, 'utf8');
  const changed = { 'network.lab': { ...wanted, 'host-allow': 'tcp/22' } };
  assert.deepEqual(await check(changed), ['Write virlan.ini']);
  assert.equal(readFileSync(ini, 'utf8'), before);
  assert.deepEqual(await play(changed), ['Write virlan.ini', 'Compare the host with virlan.ini']);
  assert.deepEqual(await play(changed), []);
});

role('a fault of the host is a change, which check mode only reports', async () => {
  const changed = { 'network.lab': { ...wanted, 'host-allow': 'tcp/22' } };
  await execa('ip', ['link', 'set', 'lab', 'down']);
  assert.deepEqual(await check(changed), ['Compare the host with virlan.ini']);
  assert(!(await isUp()));
  assert.deepEqual(await play(changed), ['Compare the host with virlan.ini']);
  assert(await isUp());
});

role('an invalid value fails the play, and virlan.ini stays as it was', async () => {
  const before = readFileSync(ini, 'utf8');
  await assert.rejects(play({ 'network.lab': { ...wanted, subnet: '10.20.0.0/33' } }), /subnet/);
  assert.equal(readFileSync(ini, 'utf8'), before);
});

role(
  'beside the watcher, which applies virlan.ini by itself, a second play changes nothing either',
  async () => {
    await startWatcher();
    const open = { 'network.lab': { ...wanted, 'host-access': 'all' } };
    // Either the watcher or the play may be first.
    assert.equal((await play(open))[0], 'Write virlan.ini');
    assert.deepEqual(await play(open), []);
    assert(await isUp());
  },
);

role.run();
