// The systemd units, with a script in place of systemctl because systemd is not process 1 here.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { configure, dhcp, guest, host, installVirlan, serve, virlan } from './host.ts';
import { stubProgram } from './program-stubs.ts';
import { resetHost } from './reset-host.ts';
import { processes } from './snapshot.ts';
import { assertFailure, down, plannedSteps, up } from './virlan-commands.ts';

const units = suite('systemd units');
const directory = '/usr/lib/systemd/system';
const calls = '/tmp/systemctl-calls';
const config = '[network.k8s-br0]\nstp = no\n';

/**
 * Replaces systemctl: starts the unit of dnsmasq with its user and capabilities. The unit's other
 * restrictions need a real systemd.
 */
const systemctl = `
echo "$*" >>${calls}
case $2 in virlan-dnsmasq@*) ;; *) exit 0 ;; esac
bridge=\${2#virlan-dnsmasq@} bridge=\${bridge%.service}
if [ "$1" = show ]; then echo "ExecStart={ path=/usr/sbin/dnsmasq ; code=exited ; status=$(cat /tmp/unit-status) }"; fi
[ "$1" = start ] || exit 0
unit() { sed -n "s/%i/$bridge/g; s/^$1=//p" '${directory}/virlan-dnsmasq@.service'; }
unit ExecStartPre | sed 's/^+//' | sh -e || exit 1
chown "$(unit User)" /run/dnsmasq
caps=$(unit AmbientCapabilities | tr '[:upper:]' '[:lower:]' | sed 's/cap_/+/g; s/ /,/g')
setpriv --reuid "$(unit User)" --clear-groups --no-new-privs --inh-caps="-all,$caps" \\
  --ambient-caps="-all,$caps" --bounding-set="-all,$caps" $(unit ExecStart) 2>/tmp/journal
status=$?
echo $status >/tmp/unit-status
exit $status
`;

units.before(async () => {
  await installVirlan();
});
units.after.each(async () => {
  rmSync('/run/systemd', { recursive: true, force: true });
  await resetHost();
});

async function simulateSystemd(): Promise<void> {
  mkdirSync('/run/systemd/system', { recursive: true });
  writeFileSync(calls, '');
  stubProgram('systemctl', systemctl);
  stubProgram('journalctl', 'cat /tmp/journal');
  await configure(config);
}

units('systemd-analyze finds no error, and the exposure level is not higher than before', async () => {
  // --man=no because only the packages install the manual pages.
  copyFileSync(`${directory}/virlan-dnsmasq@.service`, '/tmp/virlan-dnsmasq@k8s-br0.service');
  const metrics = ['virlan-metrics.service', 'virlan-metrics.timer'].map(name => `${directory}/${name}`);
  const files = [`${directory}/virlan.service`, '/tmp/virlan-dnsmasq@k8s-br0.service', ...metrics];
  const { all } = await execa('systemd-analyze', ['verify', '--man=no', ...files], {
    all: true,
    reject: false,
  });
  assert.deepEqual(
    (all ?? '').split('\n').filter(line => line.includes('virlan')),
    [],
  );
  for (const [unit, tenths] of [
    ['virlan.service', 51],
    ['virlan-dnsmasq@.service', 17],
  ]) {
    const args = ['security', '--offline=true', `--threshold=${tenths}`, `${directory}/${unit}`];
    assert.equal((await execa('systemd-analyze', args, { reject: false })).exitCode, 0, `${unit}`);
  }
});

units('dnsmasq runs in its unit as its user from the start, and serves', async () => {
  await simulateSystemd();
  await up();
  assert.deepEqual(readFileSync(calls, 'utf8'), 'start virlan-dnsmasq@k8s-br0.service\n');
  const [dnsmasq] = processes('dnsmasq');
  const status = readFileSync(`/proc/${dnsmasq?.pid}/status`, 'utf8');
  const { stdout: uid } = await execa('id', ['-u', 'dnsmasq']);
  assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t`, 'm'));
  // NET_BIND_SERVICE, NET_ADMIN and NET_RAW.
  assert.match(status, /^CapBnd:\t0000000000003400$/m);
  assert.deepEqual(await plannedSteps(), []);
  const web = await guest('web', { mac: '52:54:00:00:00:0a' });
  assert.match(await dhcp(web), /^192\.168\.100\./);
  assert.match(readFileSync('/var/lib/dnsmasq/k8s-br0/leases', 'utf8'), /52:54:00:00:00:0a/);
  await down();
});

units('the reason why dnsmasq does not start in its unit is reported', async () => {
  await simulateSystemd();
  const occupant = await serve(host, { proto: 'tcp', port: 53 });
  assertFailure(
    await virlan('up'),
    /virlan-dnsmasq@k8s-br0.service: dnsmasq: .*already in use: stop what .*as it was$/,
  );
  assert.match(readFileSync(calls, 'utf8'), /^stop virlan-dnsmasq@k8s-br0.service$/m);
  await occupant.stop();
});

units('without its user dnsmasq runs without a unit', async () => {
  await simulateSystemd();
  const users = readFileSync('/etc/passwd', 'utf8');
  writeFileSync('/etc/passwd', users.replace(/^dnsmasq:.*\n/m, ''));
  await up();
  writeFileSync('/etc/passwd', users);
  assert.equal(readFileSync(calls, 'utf8'), '');
  assert.equal(processes('dnsmasq').length, 1);
});

units('the watcher notifies systemd when it is ready and then of its liveness', async () => {
  const notifications = '/tmp/notified';
  writeFileSync('/usr/bin/systemd-notify', `#!/bin/sh\necho "$*" >>${notifications}\n`);
  chmodSync('/usr/bin/systemd-notify', 0o755);
  const env = { NOTIFY_SOCKET: '/run/none', WATCHDOG_USEC: '200000' };
  const watcher = execa('/usr/sbin/virlan', ['watch'], { env, reject: false });
  const end = performance.now() + 20_000;
  const received = () => (processes('node').length > 0 ? readOrEmpty(notifications) : '');
  while (!/--ready[\s\S]*WATCHDOG=1[\s\S]*WATCHDOG=1/.test(received())) {
    assert(performance.now() < end, readOrEmpty(notifications));
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  watcher.kill();
  await watcher;
});

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

units.run();
