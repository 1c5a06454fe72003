import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, installVirlan, startLibvirtd, virlan } from './host.ts';
import { logLines } from './log.ts';
import { until } from './until.ts';
import { startWatcher } from './watcher.ts';

const fights = suite('fights');
const forwarding = '/proc/sys/net/ipv4/ip_forward';
const problem = /net\.ipv4\.ip_forward had to be repaired .* since 20.*Z: left alone until 20.*Z/;

const repairs = () =>
  logLines().filter(
    ({ msg, missing }) => msg === 'network repaired' && String(missing).includes('ip_forward'),
  );
const status = async () => (await virlan('status')).stdout;
const addresses = async () => (await execa('ip', ['address', 'show', 'k8s-br0'])).stdout;

fights(
  'what another program fights for is left alone; all else is kept right, and status names it',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\n');
    await startLibvirtd();
    await startWatcher();
    const other = `while :; do read -r now < ${forwarding}; [ "$now" = 0 ] || echo 0 > ${forwarding}; sleep 0.05; done`;
    const fighter = spawn('sh', ['-c', other]);
    await until(async () => problem.test(await status()), 10);
    await execa('ip', ['address', 'delete', '192.168.100.1/24', 'dev', 'k8s-br0']);
    await until(async () => (await addresses()).includes('192.168.100.1/24'), 2);
    fighter.kill();
    assert.equal(repairs().length, 3);
    assert.equal(readFileSync(forwarding, 'utf8'), '0\n');
  },
);

fights(
  'after a quarter of a minute it is put right again, with nothing done, and status has forgotten',
  async () => {
    await until(() => repairs().length === 4, 30);
    assert.equal(readFileSync(forwarding, 'utf8'), '1\n');
  },
);

fights.run();
