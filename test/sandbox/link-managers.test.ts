// NetworkManager and systemd-networkd, the real ones, with a configuration that matches every link.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, type Guest, guest, installVirlan, startLibvirtd, virlan } from './host.ts';
import { endManagers, installNetworkManager, startNetworkManager, startWithoutUdev } from './managers.ts';
import { stubProgram } from './program-stubs.ts';
import { runningDomains, runs } from './running-file.ts';
import { until } from './until.ts';
import { down, plan, plannedSteps, up } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const managers = suite('link managers');

const networkd = '/run/systemd/network/00-virlan-k8s-br0.network';
const networkManager = '/run/NetworkManager/conf.d/90-virlan-k8s-br0.conf';
const config = '[network.k8s-br0]\nstp = no\n';

/** Starts networkd with a configuration that gives an address to every link. */
async function startNetworkd(): Promise<void> {
  mkdirSync('/run/systemd/netif/links', { recursive: true });
  mkdirSync('/run/systemd/netif/leases');
  mkdirSync('/run/systemd/network', { recursive: true });
  await execa('chown', ['-R', 'systemd-network:', '/run/systemd/netif']);
  const everything =
    '[Match]\nName=*\n[Network]\nAddress=10.9.9.9/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nConfigureWithoutCarrier=yes\n';
  writeFileSync('/run/systemd/network/50-all.network', everything);
  startWithoutUdev('/usr/lib/systemd/systemd-networkd');
  await until(async () => (await stateInNetworkd('lo')) === 'configured');
}

async function stateInNetworkd(link: string): Promise<string | undefined> {
  const { stdout } = await execa('networkctl', ['--json=short', 'list'], { reject: false });
  if (!stdout.startsWith('{')) return undefined;
  const { Interfaces: links } = JSON.parse(stdout);
  return links.find(({ Name }: { Name: string }) => Name === link)?.AdministrativeState;
}

async function isManagedByNetworkManager(link: string): Promise<string> {
  const fields = ['--get-values', 'GENERAL.NM-MANAGED', 'device', 'show', link];
  return (await execa('nmcli', fields, { reject: false })).stdout;
}

async function addresses(link = 'k8s-br0'): Promise<string> {
  return (await execa('ip', ['-4', '-o', 'address', 'show', 'dev', link])).stdout;
}

async function findingAbout(subject: 'bridge' | 'taps') {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
  return checks.find(({ check }: { check: string }) => check === subject);
}

/** Makes a link that libvirt knows as the tap of a running machine. */
async function addTap(name: string, port: string): Promise<void> {
  await execa('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', `${name}-peer`]);
  await execa('ip', ['link', 'set', port, 'master', 'k8s-br0']);
  for (const link of [`${name}-peer`, port]) await execa('ip', ['link', 'set', link, 'up']);
  runs({ name, mac: '52:54:00:00:00:0b', port });
}

let web: Guest;

managers.before(async () => {
  await installVirlan();
  await configure(config);
  mkdirSync('/run/dbus', { recursive: true });
  await execa('dbus-daemon', ['--system', '--fork']);
});

managers('without a manager of links on the host nothing is written for one', async () => {
  await up();
  assert.equal(existsSync(networkd), false);
  assert.equal(existsSync(networkManager), false);
  await down();
});

managers(
  'networkd leaves the bridge and taps alone, whose links match a configuration of all links',
  async () => {
    await startNetworkd();
    const { steps } = await plan();
    assert(steps.includes('+ systemd-networkd leaves the links of k8s-br0 alone'), steps.join('\n'));
    await up();
    assert.deepEqual(await plannedSteps(), []);
    await execa('ip', ['link', 'add', 'vnet8', 'type', 'veth', 'peer', 'name', 'other8']);
    // It has seen the links by the time that it has configured one that was made later.
    await until(async () => (await stateInNetworkd('other8')) === 'configured');
    assert.equal(await stateInNetworkd('k8s-br0'), 'unmanaged');
    assert.equal(await stateInNetworkd('vnet8'), 'unmanaged');
    assert.doesNotMatch(await addresses(), /10\.9\.9\.9/);
    assert.equal((await findingAbout('bridge')).code, 'as-configured');
  },
);

managers(
  "networkd lets go of a machine's tap, whatever its name, and the doctor names one with an odd name",
  async () => {
    web = await guest('web', { mac: '52:54:00:00:00:0a' });
    await until(async () => (await stateInNetworkd(web.port)) === 'configured');
    assert.match(await addresses(web.port), /10\.9\.9\.9/);
    runs(web);
    await addTap('odd', 'odd?');
    await up();
    await until(async () => (await stateInNetworkd(web.port)) === 'unmanaged');
    assert.doesNotMatch(await addresses(web.port), /10\.9\.9\.9/);
    assert.deepEqual(await plannedSteps(), []);
    await execa('ip', ['link', 'add', 'oddx', 'type', 'veth', 'peer', 'name', 'oddx-p']);
    await until(async () => (await stateInNetworkd('oddx')) === 'configured');
    await until(async () => (await stateInNetworkd('odd?')) === 'configured');
    const { code, state, seen } = await findingAbout('taps');
    assert.deepEqual([code, state], ['link-managed', 'warn']);
    assert.match(seen, /^systemd-networkd manages odd\?, a port of k8s-br0/);
    rmSync(`${runningDomains}/odd.xml`);
    await execa('ip', ['link', 'delete', 'odd?']);
    assert.equal((await findingAbout('taps')).code, 'as-configured');
  },
);

managers(
  'a tap is in the file of networkd while its machine runs, and the file changes with the taps alone',
  async () => {
    const names = () =>
      readFileSync(networkd, 'utf8')
        .match(/^Name=(.*)$/m)?.[1]
        ?.split(' ') ?? [];
    assert(names().includes(web.port), names().join(' '));
    await startLibvirtd();
    await startWatcher();
    const before = statSync(networkd).ino;
    for (const other of ['vnet9', 'vnet10']) {
      await addTap(other, other);
      await until(() => readdirSync('/sys/class/net/k8s-br0/brif').includes(other));
    }
    await addTap('db', 'db-tap');
    await until(() => names().includes('db-tap'), 10);
    const after = statSync(networkd).ino;
    assert.notEqual(after, before);
    await until(async () => (await stateInNetworkd('db-tap')) === 'unmanaged');
    for (const name of ['vnet9', 'vnet10', 'db']) rmSync(`${runningDomains}/${name}.xml`);
    for (const link of ['vnet9', 'vnet10', 'db-tap']) await execa('ip', ['link', 'delete', link]);
    await until(() => !names().includes('db-tap'), 10);
    assert(names().includes(web.port));
  },
);

managers('the watcher writes the file of a manager again, and `down` removes it', async () => {
  rmSync(networkd);
  await execa('ip', ['link', 'set', 'k8s-br0', 'mtu', '1400']);
  await until(() => existsSync(networkd), 10);
  await stopWatcher();
  await up();
  await down();
  assert.equal(existsSync(networkd), false);
});

managers('doctor names a bridge that networkd manages all the same', async () => {
  const everything = readFileSync('/run/systemd/network/50-all.network');
  writeFileSync('/run/systemd/network/00-all.network', everything);
  await up();
  await execa('networkctl', ['reload']);
  await until(async () => (await stateInNetworkd('k8s-br0')) === 'configured');
  const { code, state, seen, fix } = await findingAbout('bridge');
  assert.deepEqual([code, state, fix.command], ['link-managed', 'warn', 'networkctl status k8s-br0']);
  assert.match(seen, /^systemd-networkd manages k8s-br0/);
  await down();
  rmSync('/run/systemd/network/00-all.network');
});

managers(
  'a manager that cannot read its files again is a warning; the network is made and taken down',
  async () => {
    stubProgram('networkctl', 'echo no bus >&2; exit 1');
    const { exitCode, stderr } = await virlan('up');
    assert.deepEqual([exitCode, stderr], [0, 'virlan: warning: networkctl reload: no bus']);
    assert.match(await addresses(), /192\.168\.100\.1/);
    const removal = await virlan('down');
    assert.deepEqual([removal.exitCode, removal.stderr], [0, stderr]);
    assert.equal(existsSync(networkd), false);
    await endManagers();
    rmSync('/run/systemd', { recursive: true });
  },
);

managers('NetworkManager leaves the bridge alone, at once and after `up`', async () => {
  await installNetworkManager();
  await startNetworkManager();
  await up();
  assert.deepEqual(await plannedSteps(), []);
  for (const link of ['k8s-br0', web.port])
    await until(async () => (await isManagedByNetworkManager(link)) === 'no');
  // A list in /etc replaces those in /run.
  mkdirSync('/etc/NetworkManager/conf.d', { recursive: true });
  const list = '[keyfile]\nunmanaged-devices=interface-name:cali*;interface-name:mine0\n';
  writeFileSync('/etc/NetworkManager/conf.d/calico.conf', list);
  await execa('ip', ['link', 'add', 'mine0', 'type', 'bridge']);
  await execa('nmcli', ['general', 'reload', 'conf']);
  await until(async () => (await isManagedByNetworkManager('mine0')) === 'no');
  assert.equal(await isManagedByNetworkManager('k8s-br0'), 'no');
  await execa('nmcli', ['device', 'set', 'k8s-br0', 'managed', 'yes']);
  await until(async () => (await isManagedByNetworkManager('k8s-br0')) === 'yes');
  // It has taken the bridge down.
  await up();
  const { code, fix } = await findingAbout('bridge');
  assert.deepEqual([code, fix.mends], ['link-managed', true]);
  await execa('sh', ['-c', fix.command]);
  await until(async () => (await isManagedByNetworkManager('k8s-br0')) === 'no');
  await execa('nmcli', ['device', 'set', web.port, 'managed', 'yes']);
  await until(async () => (await isManagedByNetworkManager(web.port)) === 'yes');
  await up();
  const aboutTap = await findingAbout('taps');
  assert.deepEqual([aboutTap.code, aboutTap.state], ['link-managed', 'warn']);
  await execa('sh', ['-c', aboutTap.fix.command]);
  await until(async () => (await isManagedByNetworkManager(web.port)) === 'no');
  await down();
  assert.equal(existsSync(networkManager), false);
  await endManagers();
});

managers.run();
