// Vagrant with vagrant-libvirt: a machine from a box, with virlan's network as its management network.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { define, domainXml, macsOf, startMachine, virsh } from '../sandbox/host.ts';
import { guestKernel } from '../sandbox/initramfs.ts';
import { logLinesOf } from '../sandbox/log.ts';
import { until } from '../sandbox/until.ts';
import { networkIsActive, startHost } from './client-host.ts';
import { makeSshGuest } from './ssh-guest.ts';

const vagrantTest = suite('vagrant');

/** Vagrant names the machine after its directory. */
const project = '/tmp/lab';
const machine = 'lab_web';

/** A second directory. Its machine has no management network, only one of its own choice. */
const project2 = '/tmp/alone';
const machine2 = 'alone_web';

/** Returns the public key of the pair that comes with Vagrant and is known to everybody. */
function publicKey(): string {
  const gems = '/usr/share/rubygems-integration/all/gems';
  const gem = readdirSync(gems).find(name => /^vagrant-\d/.test(name));
  return `${gems}/${gem}/keys/vagrant.pub`;
}

/** Runs Vagrant in the first project. Throws with its output if it fails. */
function vagrant(...args: string[]) {
  return vagrantIn(project, ...args);
}

function vagrantIn(directory: string, ...args: string[]) {
  return execa('vagrant', args, {
    cwd: directory,
    env: { HOME: '/tmp', LC_ALL: 'C.UTF-8' },
    timeout: 300_000,
  });
}

/** Returns the address at which Vagrant reaches a project's machine. */
async function sshAddress(directory: string): Promise<string | undefined> {
  return /^ *HostName (.*)$/m.exec((await vagrantIn(directory, 'ssh-config')).stdout)?.[1];
}

/** Makes a box: an empty disk, and in its Vagrantfile the kernel to boot, which is emulated. */
async function makeBox(path: string): Promise<void> {
  const box = '/tmp/box';
  mkdirSync(box);
  await makeSshGuest('/tmp/initramfs', publicKey());
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', `${box}/box.img`, '1G']);
  writeFileSync(
    `${box}/metadata.json`,
    JSON.stringify({ provider: 'libvirt', format: 'qcow2', virtual_size: 1 }),
  );
  writeFileSync(
    `${box}/Vagrantfile`,
    `Vagrant.configure('2') do |config|
  config.vm.guest = :linux
  config.ssh.shell = 'sh'
  config.ssh.insert_key = false
  config.vm.synced_folder '.', '/vagrant', disabled: true
  config.vm.provider :libvirt do |libvirt|
    libvirt.driver = 'qemu'
    libvirt.cpu_mode = 'custom'
    libvirt.cpu_model = 'qemu64'
    libvirt.memory = 192
    libvirt.graphics_type = 'none'
    libvirt.kernel = '${guestKernel()}'
    libvirt.initrd = '/tmp/initramfs'
    libvirt.cmd_line = 'console=ttyS0 quiet panic=1'
  end
end
`,
  );
  await execa('tar', ['-czf', path, 'metadata.json', 'Vagrantfile', 'box.img'], { cwd: box });
}

vagrantTest.before(async () => {
  await startHost('[network.k8s-br0]\nstp = no\n');
  await makeBox('/tmp/tiny.box');
  writeProject(project, "libvirt.management_network_name = 'k8s-br0'");
  writeProject(
    project2,
    'libvirt.mgmt_attach = false',
    "config.vm.network :private_network, type: 'dhcp', libvirt__network_name: 'k8s-br0', auto_config: false",
  );
});

/** Writes a Vagrantfile for a machine web of the box. */
function writeProject(directory: string, ofProvider: string, ofMachine = ''): void {
  mkdirSync(directory);
  writeFileSync(
    `${directory}/Vagrantfile`,
    `Vagrant.configure('2') do |config|
  config.vm.define 'web'
  config.vm.box = 'tiny'
  ${ofMachine}
  config.vm.provider :libvirt do |libvirt|
    ${ofProvider}
  end
end
`,
  );
}

vagrantTest('up boots a machine and reaches it by SSH at the address of its name', async () => {
  await vagrant('box', 'add', '--name', 'tiny', '/tmp/tiny.box');
  const up = await vagrant('up', '--provider', 'libvirt');
  assert.match(up.stdout, /Machine booted and ready!/);
  assert.equal(await sshAddress(project), formulaAddressOf(machine));
  const inside = await vagrant('ssh', '-c', 'ip -4 address show eth0');
  assert.match(inside.stdout, new RegExp(`inet ${formulaAddressOf(machine)}/24`));
});

vagrantTest('halt and up change neither MAC nor address', async () => {
  const before = await macsOf(machine);
  await vagrant('halt');
  await vagrant('up');
  assert.deepEqual(await macsOf(machine), before);
  assert.equal(await sshAddress(project), formulaAddressOf(machine));
});

vagrantTest('a private network named k8s-br0 gives a machine its address, too', async () => {
  assert.match((await vagrantIn(project2, 'up')).stdout, /Machine booted and ready!/);
  assert.equal(await sshAddress(project2), formulaAddressOf(machine2));
  await vagrantIn(project2, 'destroy', '--force');
  await networkIsActive();
});

vagrantTest(
  'destroy undefines k8s-br0; it is defined again, and the bridge keeps other machines',
  async () => {
    await define(domainXml({ name: 'other', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
    await startMachine('other');
    const before = definitionsOfNetwork();
    await vagrant('destroy', '--force');
    await until(() => definitionsOfNetwork() > before, 60);
    await networkIsActive();
    assert(!(await virsh('list', '--all', '--name')).includes(machine));
    const [tap] = /\bvnet\d+/.exec(await virsh('domiflist', 'other')) ?? [];
    assert.match(readlinkSync(`/sys/class/net/${tap}/master`), /\/k8s-br0$/);
    assert.match((await vagrant('up')).stdout, /Machine booted and ready!/);
  },
);

/** Returns how many times virlan has defined the network k8s-br0 of libvirt, by the log. */
function definitionsOfNetwork(): number {
  const define = JSON.stringify({ do: 'define', name: 'k8s-br0' });
  return logLinesOf('libvirt-network-changed').filter(line => JSON.stringify(line.action) === define).length;
}

vagrantTest.run();
