// Forwards that cannot be: each is one line in status and in the log, and the machine and all others go on.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { startGuest } from './forwarding.ts';
import { configure, dhcp, host, installVirlan, internet, probe, serve, virlan } from './host.ts';
import { logLinesOf } from './log.ts';
import { resetHost } from './reset-host.ts';
import { up } from './virlan-commands.ts';

const bad = suite('forwards, bad input');

/** Attributes of an element → the line that says what is wrong with it. */
const cases: readonly (readonly [attributes: string, line: RegExp])[] = [
  ['port="0"', /has port="0": write a port from 1 to 65535/],
  ['port="65536"', /has port="65536": write a port/],
  ['port="30-20"', /has port="30-20"/],
  ['port="80;reboot"', /has port="80;reboot"/],
  ['port="&#10;drop"', /drop"/],
  ['port="&quot;$(id)&quot;"', /\$\(id\)/],
  ['', /has no port/],
  ['port="2001" to="0"', /has to="0"/],
  ['port="2002" protocol="sctp"', /has protocol="sctp": write tcp or udp/],
  ['port="2003" address="1.2.3.4.5"', /has address="1\.2\.3\.4\.5"/],
  ['port="2004" from="10.0.0.0/99"', /has from="10\.0\.0\.0\/99"/],
  ['port="3000-3010" to="1-5"', /leads ports 3000-3010 to 1-5/],
  ['port="80"', /forward tcp\/80 is not allowed/],
  ['port="5005"', /forward tcp\/5005 is not active: it overlaps tcp\/5000-5010 of the same machine/],
  ['port="5901"', /forward tcp\/5901 is not active: libvirt may use that port \(remote_display_port_min/],
  ['port="49200"', /forward tcp\/49200 is not active: libvirt may use that port \(migration_port_min/],
  ['port="9000"', /forward tcp\/9000 is not active: python3 \(process \d+\) listens/],
  ['port="8443"', /forward tcp\/8443 waits: machine good has that port/],
];

bad('each forward that cannot be is one line, and the others are open', async () => {
  await installVirlan();
  mkdirSync('/etc/libvirt', { recursive: true });
  writeFileSync(
    '/etc/libvirt/qemu.conf',
    'remote_display_port_min = 5900\nmigration_port_min = 49152\nremote_display_port_max = 5999\n',
  );
  await configure('[network.k8s-br0]\nstp = no\ndhcp-range = 192.168.100.2-192.168.100.4\n');
  await up();
  const outside = await internet();
  const busy = await serve(host, { proto: 'tcp', port: 9000 });
  const good = await startGuest('good', { digit: 'a', forwards: ['port="8443"'] });
  await dhcp(good);
  await serve(good, { proto: 'tcp', port: 8443 });
  const open = 'port="5000-5010"';
  const wrong = await startGuest('wrong', { digit: 'b', forwards: [open, ...cases.map(([each]) => each)] });
  await dhcp(wrong);
  await serve(wrong, { proto: 'tcp', port: 5010 });
  const many = Array.from({ length: 1000 }, (_, index) => `port="${20_000 + index}"`);
  await startGuest('many', { digit: 'c', forwards: many });
  // No address is left for it.
  await startGuest('none', { digit: 'd', forwards: ['port="7000"'] });
  assert.equal((await virlan('up')).exitCode, 0);

  const { exitCode, stdout, stderr } = await virlan('status');
  assert.equal(exitCode, 0, stderr);
  const refusals = logLinesOf('forward-refused').map(({ machine, msg }) => `machine ${machine}: ${msg}`);
  const expected: [string, RegExp][] = [
    ...cases.map(([, line]): [string, RegExp] => ['wrong', line]),
    ['many', /its metadata has more than 128 forwards, and only the first 128 count: write ranges/],
    ['none', /forward tcp\/7000 is not active: the machine has no address/],
  ];
  for (const [machine, line] of expected)
    for (const lines of [stdout.split('\n'), refusals]) {
      const found = lines.filter(each => each.includes(`machine ${machine}: `) && line.test(each));
      assert.equal(found.length, 1, `${machine} ${line}:\n${lines.join('\n')}`);
    }
  for (const port of [8443, 5010])
    assert.equal(await probe(outside, { proto: 'tcp', to: '203.0.113.1', port }), 'open');
  const { stdout: elements } = await execa('nft', ['list', 'map', 'ip', 'virlan-k8s-br0', 'ports']);
  assert.equal([...elements.matchAll(/\. 20\d{3} : /g)].length, 128);
  await busy.stop();
});

bad.after(async () => {
  rmSync('/etc/libvirt/qemu.conf');
  for (const name of ['good', 'wrong', 'many', 'none', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

bad.run();
