// The host finds machines by name where NetworkManager runs a dnsmasq for it: the real one.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { ask } from './dns.ts';
import { configure, define, domainXml, host, installVirlan, startLibvirtd, virlan } from './host.ts';
import { endManagers, installNetworkManager, startNetworkManager } from './managers.ts';
import { until } from './until.ts';
import { down, plannedSteps, succeeded, up } from './virlan-commands.ts';
import { idle, startWatcher, stopWatcher } from './watcher.ts';

const names = suite('names in NetworkManager');
const resolver = '127.0.0.1';
const domain = 'k8s-br0.internal';
const web = `web.${domain}`;
const file = '/etc/NetworkManager/dnsmasq.d/virlan-k8s-br0.conf';
let address: string;

function setResolver(dns: 'dnsmasq' | 'default'): void {
  // Without a connection it has no name server of its own, and runs no dnsmasq.
  const global = '[global-dns-domain-*]\nservers=203.0.113.2\n';
  writeFileSync('/etc/NetworkManager/NetworkManager.conf', `[main]\ndns=${dns}\nplugins=keyfile\n${global}`);
}

async function finds(expected: string, seconds = 10): Promise<void> {
  const name = `A ${web}`;
  let found = '';
  await until(async () => {
    found = (await ask(host, resolver, name))[name] ?? '';
    return found === expected;
  }, seconds).catch(() => assert.equal(found, expected));
}

names.before(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\n');
  mkdirSync('/run/dbus', { recursive: true });
  await execa('dbus-daemon', ['--system', '--fork']);
  await installNetworkManager();
  mkdirSync('/etc/NetworkManager/dnsmasq.d', { recursive: true });
  await startLibvirtd();
  await up();
  await define(domainXml({ name: 'web', nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
});

names('without NetworkManager, or with one that runs no dnsmasq, nothing is written', async () => {
  assert.equal(existsSync(file), false);
  setResolver('default');
  await startNetworkManager();
  await up();
  assert.equal(existsSync(file), false);
  await endManagers();
});

names(
  'the dnsmasq of NetworkManager asks at the gateway for the names and addresses of machines',
  async () => {
    setResolver('dnsmasq');
    await startNetworkManager();
    await until(() => /^nameserver 127\.0\.0\.1$/m.test(readFileSync('/etc/resolv.conf', 'utf8')), 20);
    await startWatcher();
    await idle('web');
    address = succeeded(await virlan('ip', 'web')).trim();
    await finds(address);
    const questions = [`PTR ${address}`, 'PTR 192.168.100.253', `A nobody.${domain}`];
    assert.deepEqual(Object.values(await ask(host, resolver, ...questions)), [web, 'ENOTFOUND', 'ENOTFOUND']);
    assert.match((await execa('getent', ['ahostsv4', web])).stdout, new RegExp(`^${address} `));
    assert.match(
      (await virlan('status')).stdout,
      /^ {2}this host finds names in k8s-br0\.internal by the dnsmasq of NetworkManager$/m,
    );
    assert.deepEqual(
      (await plannedSteps()).filter(step => step.includes('NetworkManager')),
      [],
    );
  },
);

names('a NetworkManager that was restarted, and a file that was removed, are noticed', async () => {
  await endManagers();
  rmSync(file);
  await startNetworkManager();
  await finds(address);
});

names('names = no, another resolver, and down remove the file', async () => {
  await configure('[network.k8s-br0]\nstp = no\nnames = no\n');
  await until(() => !existsSync(file), 10);
  // The file is removed before that dnsmasq is restarted.
  await until(async () => (await ask(host, resolver, `A ${web}`))[`A ${web}`] !== address);
  await configure('[network.k8s-br0]\nstp = no\n');
  await finds(address);
  await stopWatcher();
  await down();
  assert.equal(existsSync(file), false);
  await up();
  assert.equal(existsSync(file), true);
  await endManagers();
  // One that does not run says nothing about what it will do.
  await up();
  assert.equal(existsSync(file), true);
  setResolver('default');
  await startNetworkManager();
  await up();
  assert.equal(existsSync(file), false);
});

names.after(endManagers);

names.run();
