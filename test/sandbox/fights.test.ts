// Fights: a setting that another program changes again and again is left alone for a while.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { until } from './until.ts';
import { startWatcher } from './watcher.ts';

const fights = suite('fights');
const forwarding = '/proc/sys/net/ipv4/ip_forward';
const problem = /net\.ipv4\.ip_forward had to be repaired .* since 20.*Z: left alone until 20.*Z/;

function repairs() {
  return logLinesOf('network-repaired').filter(({ missing }) => String(missing).includes('ip_forward'));
}

async function status(): Promise<string> {
  return (await virlan('status')).stdout;
}

async function addresses(): Promise<string> {
  return (await execa('ip', ['address', 'show', 'k8s-br0'])).stdout;
}

fights(
  'a setting that another program keeps changing is left alone, and status shows it; the rest is repaired',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\n');
    await startLibvirtd();
    await startWatcher();
    const resetForwarding = `while :; do read -r now < ${forwarding}; [ "$now" = 0 ] || echo 0 > ${forwarding}; sleep 0.05; done`;
    const fighter = spawn('sh', ['-c', resetForwarding]);
    await until(async () => problem.test(await status()), 10);
    await execa('ip', ['address', 'delete', '192.168.100.1/24', 'dev', 'k8s-br0']);
    await until(async () => (await addresses()).includes('192.168.100.1/24'), 2);
    fighter.kill();
    assert.equal(repairs().length, 3);
    assert.equal(readFileSync(forwarding, 'utf8'), '0\n');
  },
);

fights('after 15 seconds it is repaired again without a command', async () => {
  await until(() => repairs().length === 4, 30);
  assert.equal(readFileSync(forwarding, 'utf8'), '1\n');
});

fights('lines that are added to the hostsfile one after the other are not a fight', async () => {
  const directory = '/var/lib/dnsmasq/k8s-br0';
  for (let each = 1; each <= 5; each += 1) {
    const line = `52:54:00:99:00:0${each},192.168.100.7${each},node${each}\n`;
    await appendFile(`${directory}/hostsfile`, line);
    await until(async () => (await readFile(`${directory}/names`, 'utf8')).includes(`node${each}`), 5);
  }
  assert.doesNotMatch(await status(), /names of k8s-br0 had to be repaired/);
});

fights.run();
