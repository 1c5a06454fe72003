// `apt install ./PACKAGE.deb` as the whole installation on a host that has neither libvirt nor Node.js. Its root
// file system is in the private host, whose kernel and network it has. Nothing is downloaded: debian-root.sh has done it.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import { execa } from 'execa';
import { suite } from 'uvu';
import { formulaAddressOf } from '../sandbox/formula-values.ts';
import { until } from '../sandbox/until.ts';
import { packagePath } from './package-path.ts';

const apt = suite('apt');

const [bookworm = '', trixie = '', noble = ''] = process.argv.slice(3);
const standalone = packagePath(/^virlan-standalone_.*_amd64\.deb$/);
const hosts = [
  {
    system: 'Debian 12',
    lower: bookworm,
    name: 'virlan-standalone',
    deb: standalone,
    hasNode: false,
  },
  { system: 'Ubuntu 24.04', lower: noble, name: 'virlan-standalone', deb: standalone, hasNode: false },
  { system: 'Debian 13', lower: trixie, name: 'virlan', deb: packagePath(/^virlan_.*\.deb$/), hasNode: true },
];
const page = packagePath(/^cockpit-virlan_.*\.deb$/);

/** Mounts a Debian with a writable layer, and returns its root. */
async function enter(lower: string): Promise<string> {
  const root = `/run/${basename(lower)}`;
  const layers = { upper: `${root}-upper`, work: `${root}-work` };
  for (const directory of [root, layers.upper, layers.work]) mkdirSync(directory);
  const options = `lowerdir=${lower},upperdir=${layers.upper},workdir=${layers.work}`;
  await execa('mount', ['-t', 'overlay', '-o', options, 'debian', root]);
  for (const directory of ['proc', 'sys', 'dev'])
    await execa('mount', ['--rbind', `/${directory}`, `${root}/${directory}`]);
  return root;
}

for (const { system, lower, name, deb, hasNode } of hosts) {
  let root = '';

  /** Runs a program in that system and returns its output. Throws with the output if it fails. */
  async function run(program: string, ...args: string[]): Promise<string> {
    const { all } = await execa('chroot', [root, program, ...args], {
      all: true,
      timeout: 300_000,
      extendEnv: false,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    });
    return all;
  }

  function install(path: string): Promise<string> {
    copyFileSync(path, `${root}/tmp/${basename(path)}`);
    return run('apt-get', '--yes', '--quiet', '--no-install-recommends', 'install', `/tmp/${basename(path)}`);
  }

  async function isInstalled(wanted: string): Promise<boolean> {
    return (await run('dpkg', '--get-selections'))
      .split('\n')
      .some(line => /^\S+\s+install$/.test(line) && line.startsWith(`${wanted}\t`));
  }

  apt(`${system}: apt install ./${name}_….deb is the whole installation`, async () => {
    root = await enter(lower);
    assert(!(await isInstalled('libvirt-daemon-system')));
    assert(!existsSync(`${root}/usr/bin/node`));
    await install(deb);
    assert(await isInstalled('libvirt-daemon-system'));
    assert.equal(existsSync(`${root}/usr/bin/node`), hasNode);
    const { networks } = JSON.parse(await run('virlan', 'status', '--json'));
    assert.deepEqual([networks[0].name, networks[0].up], ['k8s-br0', true]);
    assert.equal(await run('virlan', 'ip', 'web'), formulaAddressOf('web'));
  });

  apt(`${system}: its libvirtd calls the hook, and lists the network of the watcher`, async () => {
    await run('virlan', 'down');
    await run('libvirtd', '--daemon');
    assert(existsSync('/sys/class/net/k8s-br0'), 'the hook brings the network up');
    const watcher = execa('chroot', [root, 'virlan', 'watch'], { reject: false });
    await until(async () => (await run('virsh', 'net-list', '--name')).split('\n').includes('k8s-br0'), 60);
    watcher.kill('SIGTERM');
    await watcher;
  });

  apt(`${system}: Cockpit finds the page of cockpit-virlan`, async () => {
    await install(page);
    assert.match(
      await run('cockpit-bridge', '--packages'),
      /^virlan +Virtual networks +\/usr\/share\/cockpit\/virlan$/m,
    );
  });

  apt(`${system}: apt purge leaves nothing`, async () => {
    await run('apt-get', '--yes', '--quiet', 'purge', name);
    assert(!(await isInstalled('cockpit-virlan')));
    assert(!existsSync('/sys/class/net/k8s-br0'));
    rmSync(`${root}/tmp`, { recursive: true });
    const found = await run('find', '/etc', '/run', '/usr', '/var', '-xdev', '-name', '*virlan*');
    assert.deepEqual(
      found.split('\n').filter(path => !/^$|^\/var\/(lib\/dpkg|log)\//.test(path)),
      [],
    );
    const pid = await run('cat', '/run/libvirtd.pid');
    process.kill(Number(pid));
    await until(() => !existsSync(`/proc/${pid.trim()}`));
  });
}

apt.run();
