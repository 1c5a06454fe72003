// NetworkManager and systemd-networkd, the real ones, with a configuration that matches every link.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { endManagers, installNetworkManager, startNetworkManager, startWithoutUdev } from './managers.ts';
import { stubProgram } from './program-stubs.ts';
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

async function addresses(): Promise<string> {
  return (await execa('ip', ['-4', '-o', 'address', 'show', 'dev', 'k8s-br0'])).stdout;
}

async function findingAboutBridge() {
  const { checks } = JSON.parse((await virlan('doctor', '--json')).stdout);
  return checks.find(({ check }: { check: string }) => check === 'bridge');
}

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
    assert.equal((await findingAboutBridge()).code, 'as-configured');
  },
);

managers('the watcher writes the file of a manager again, and `down` removes it', async () => {
  await startLibvirtd();
  await startWatcher();
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
  const { code, state, seen, fix } = await findingAboutBridge();
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
  await until(async () => (await isManagedByNetworkManager('k8s-br0')) === 'no');
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
  const { code, fix } = await findingAboutBridge();
  assert.deepEqual([code, fix.mends], ['link-managed', true]);
  await execa('sh', ['-c', fix.command]);
  await until(async () => (await isManagedByNetworkManager('k8s-br0')) === 'no');
  await down();
  assert.equal(existsSync(networkManager), false);
  await endManagers();
});

managers.run();
