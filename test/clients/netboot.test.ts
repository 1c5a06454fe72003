// Network boot and DHCP options: machines whose firmware is QEMU's iPXE, and a guest.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { suite } from 'uvu';
import {
  configure,
  define,
  dhcp,
  domainXml,
  guest,
  installVirlan,
  probe,
  run,
  startLibvirtd,
  virsh,
} from '../sandbox/host.ts';
import { until } from '../sandbox/until.ts';
import { up } from '../sandbox/virlan-commands.ts';

const netboot = suite('network boot');
const gateway = '192.168.100.1';
const served = `http://${gateway}:8080`;

/** The paths that machines have asked the HTTP server on the host for. */
const asked: string[] = [];

/** Serves a script for each machine, which asks for a path that only this script has. */
const server = createServer(({ url = '' }, response) => {
  asked.push(url);
  const [, name] = /^\/([a-z]+)\.ipxe$/.exec(url) ?? [];
  response.end(name === undefined ? 'done' : `#!ipxe\nimgfetch ${served}/ran-script-of-${name}\n`);
});

async function establish(...lines: string[]): Promise<void> {
  await configure(['[network.k8s-br0]', 'stp = no', ...lines, ''].join('\n'));
  await up();
}

netboot.before(async () => {
  await installVirlan();
  await startLibvirtd();
  await establish();
  await new Promise<void>(resolve => server.listen(8080, resolve));
});

netboot('ports for network boot are opened when it is configured, and not before', async () => {
  const machine = await guest('pxe', { mac: '52:54:00:00:00:0e' });
  await dhcp(machine);
  const http = () => probe(machine, { proto: 'tcp', to: gateway, port: 8080 });
  assert.equal(await http(), 'tcp-reset');
  await establish(`boot = ${served}/\${hostname}.ipxe`);
  assert.equal(await http(), 'open');

  mkdirSync('/srv/virlan-tftp/x', { recursive: true });
  writeFileSync('/srv/virlan-tftp/x/file', 'content of a file\n');
  const fetched = async () => {
    await run(
      machine,
      'timeout',
      '5',
      'busybox',
      'tftp',
      '-g',
      '-r',
      'x/file',
      '-l',
      '/tmp/fetched',
      gateway,
    );
    return readFileSync('/tmp/fetched', 'utf8');
  };
  await assert.rejects(fetched());
  await establish('tftp = /srv/virlan-tftp', 'boot = x/file');
  assert.equal(await fetched(), 'content of a file\n');
  assert.equal(await http(), 'tcp-reset');
});

netboot('DHCP options reach clients, several values of one too', async () => {
  await establish('dhcp-option = 42:10.0.0.1 10.0.0.2, domain-search:lab.example');
  const script = '/tmp/print-options.sh';
  writeFileSync(script, '#!/bin/sh\n[ "$1" != bound ] || echo "$ntpsrv; $search"\n', { mode: 0o755 });
  const options = await run(
    { name: 'pxe' },
    ...([
      'busybox',
      'udhcpc',
      '-f',
      '-n',
      '-q',
      '-i',
      'eth0',
      '-O',
      'ntpsrv',
      '-O',
      'search',
      '-s',
      script,
    ] as const),
  );
  assert.equal(options, '10.0.0.1 10.0.0.2; lab.example');
});

netboot('iPXE boots a script by HTTP: two machines, two scripts, chosen by their names', async () => {
  await establish(`boot = ${served}/\${hostname}.ipxe`);
  for (const name of ['web', 'db']) {
    await define(domainXml({ name, nics: [{ type: 'bridge', source: 'k8s-br0' }] }));
    await virsh('start', name);
  }
  const ran = ['/ran-script-of-web', '/ran-script-of-db'];
  await until(() => ran.every(path => asked.includes(path)), 60);
  for (const name of ['web', 'db']) await virsh('destroy', name);
});

netboot(
  'a machine boots from a URL of its own, and others do not; dnsmasq survives signals meanwhile',
  async () => {
    asked.length = 0;
    await establish('boot = http://192.168.100.1:8080/none.ipxe', '[machine.db]', `boot = ${served}/db.ipxe`);
    const metadata = `<virlan:machine xmlns:virlan="urn:virlan:machine:1" boot="${served}/web.ipxe"/>`;
    const nics = [{ type: 'bridge' as const, source: 'k8s-br0' }];
    await define(domainXml({ name: 'web', nics, metadata, uuid: (await virsh('domuuid', 'web')).trim() }));
    for (const name of ['web', 'db']) await virsh('start', name);
    const ran = ['/ran-script-of-web', '/ran-script-of-db'];
    await until(() => ran.every(path => asked.includes(path)), 60);
    const pid = readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8');
    // A new reservation sends dnsmasq a signal, while both machines hold leases.
    await define(domainXml({ name: 'other', nics }));
    await virsh('start', 'other');
    await until(() => asked.includes('/none.ipxe'), 60);
    assert.equal(readFileSync('/run/dnsmasq/k8s-br0.pid', 'utf8'), pid);
    assert.equal(asked.filter(path => path === '/none.ipxe').length, 1);

    // Without its URL it is as the others.
    for (const name of ['web', 'db', 'other']) await virsh('destroy', name);
    await define(domainXml({ name: 'web', nics, uuid: (await virsh('domuuid', 'web')).trim() }));
    await virsh('start', 'web');
    await until(() => asked.filter(path => path === '/none.ipxe').length === 2, 60);
    await virsh('destroy', 'web');
  },
);

netboot('iPXE boots a script by TFTP', async () => {
  asked.length = 0;
  writeFileSync('/srv/virlan-tftp/boot.ipxe', `#!ipxe\nimgfetch ${served}/ran-script-of-tftp\n`);
  await establish('tftp = /srv/virlan-tftp', 'boot = boot.ipxe', 'host-allow = tcp/8080');
  await virsh('start', 'web');
  await until(() => asked.includes('/ran-script-of-tftp'), 60);
  await virsh('destroy', 'web');
});

netboot('UEFI without iPXE loads it by TFTP, and boots the same script', async () => {
  asked.length = 0;
  copyFileSync('/usr/lib/ipxe/ipxe.efi', '/srv/virlan-tftp/ipxe.efi');
  await establish('tftp = /srv/virlan-tftp', `boot = ${served}/\${hostname}.ipxe`);
  const bios = domainXml({ name: 'uefi', nics: [{ type: 'bridge', source: 'k8s-br0' }] });
  const firmware = '/usr/share/OVMF/OVMF';
  const os = [
    "<os><type arch='x86_64' machine='q35'>hvm</type>",
    `<loader readonly='yes' type='pflash'>${firmware}_CODE_4M.fd</loader>`,
    `<nvram template='${firmware}_VARS_4M.fd'/><boot dev='network'/></os>`,
  ];
  const xml = bios
    .replace(/<os>.*<\/os>/s, os.join(''))
    .replace('<devices>', '<features><acpi/></features><devices>')
    .replace("<model type='virtio'/>", "<model type='virtio'/><rom enabled='no'/>")
    .replace("<memory unit='MiB'>64", "<memory unit='MiB'>256");
  await define(xml);
  await virsh('start', 'uefi');
  await until(() => asked.includes('/ran-script-of-uefi'), 120);
  await virsh('destroy', 'uefi');
});

netboot('a directory of tftp that is not there does not keep DHCP from running', async () => {
  await establish('tftp = /srv/nowhere', 'boot = x');
  assert.match(await dhcp({ name: 'pxe', mac: '52:54:00:00:00:0e', port: 'veth-pxe' }), /^192\.168\.100\./);
});

netboot.after(() => {
  server.close();
});

netboot.run();
