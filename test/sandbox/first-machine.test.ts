// The first minutes of a user: machines are defined and started, and nothing else is typed. Hosts, machines and
// clients reach them by name and through forwards.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  configure,
  define,
  domainXml,
  host,
  installVirlan,
  internet,
  type Linked,
  leaseOf,
  macsOf,
  type Namespace,
  probe,
  startLibvirtd,
  startMachine,
  virlan,
  virsh,
  within,
} from './host.ts';
import { guestKernel, makeInitramfs, networkModules } from './initramfs.ts';
import { installResolved, startResolved } from './resolved.ts';
import { until } from './until.ts';
import { checkout } from './virlan.ts';
import { succeeded } from './virlan-commands.ts';
import { startWatcher, stopWatcher } from './watcher.ts';

const first = suite('first machine');
const directory = '/tmp/first-machine';
const initrd = `${directory}/initrd`;
const certificate = `${directory}/cert.pem`;

/** The host's address in its LAN. */
const hostAddress = '203.0.113.1';

let lan: Linked;
let address: string;

/** Returns the XML of a machine that asks a URL once it runs. */
function bootable(name: string, metadata: string, url: string): string {
  const boot = `<kernel>${guestKernel()}</kernel><initrd>${initrd}</initrd>
    <cmdline>quiet mitigations=off url=${url}</cmdline>`;
  const serial = `<serial type='file'><source path='${serialLog(name)}'/></serial>`;
  return domainXml({ name, nics: [{ type: 'network', source: 'k8s-br0' }], metadata })
    .replace("<boot dev='network'/>", boot)
    .replace('</devices>', `${serial}</devices>`)
    .replace("<memory unit='MiB'>64", "<memory unit='MiB'>256");
}

function serialLog(name: string): string {
  return `${directory}/${name}.log`;
}

/** Returns the page of a URL; the certificate is the machine's, whatever name is asked. */
async function curl(from: Namespace, url: string, ...options: readonly string[]): Promise<string> {
  const args = ['--silent', '--show-error', '--max-time', '20', '--noproxy', '*', ...options];
  const [program, all] = within(from, 'curl', [...args, '--cacert', certificate, url]);
  return (await execa(program, all)).stdout;
}

function forwards(...elements: readonly string[]): string {
  const content = elements.map(each => `<virlan:forward ${each}/>`).join('');
  return `<virlan:machine xmlns:virlan="urn:virlan:machine:1">${content}</virlan:machine>`;
}

first.before(async () => {
  await installVirlan();
  await installResolved();
  mkdirSync(directory, { recursive: true });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout'];
  const names = `subjectAltName=DNS:localhost,IP:${hostAddress},DNS:web.k8s-br0.internal`;
  await execa('openssl', [
    ...['req', '-x509', '-subj', '/CN=web', '-addext', names, '-out', certificate],
    ...[...key, `${directory}/key.pem`],
  ]);
  const programs = ['/usr/bin/openssl', '/usr/bin/curl'];
  const libraries = (await execa('ldd', programs)).stdout.match(/\/\S+(?= \()/g) ?? [];
  await makeInitramfs(initrd, {
    files: {
      '/init': `${checkout}/test/sandbox/first-machine.sh`,
      '/start.sh': `${checkout}/test/sandbox/guest-start.sh`,
      '/dhcp.sh': `${checkout}/test/sandbox/cloud-init-dhcp.sh`,
      ...Object.fromEntries([...programs, ...libraries].map(file => [file, file])),
      '/tls/cert.pem': certificate,
      '/tls/key.pem': `${directory}/key.pem`,
    },
    modules: networkModules,
  });
  await configure('[network.k8s-br0]\nstp = no\nlocalhost = yes\n');
  lan = await internet();
  await startResolved();
  await startLibvirtd();
  await startWatcher();
  await define(bootable('web', forwards('port="8443" to="443"'), ''));
  await define(bootable('client', '', 'http://web'));
  for (const name of ['web', 'client']) await startMachine(name);
  const [mac = ''] = await macsOf('web');
  address = (await leaseOf(mac, 120)).ip;
  // The machine listens a while after it has its address.
  for (const port of [80, 443])
    await until(async () => (await probe(host, { proto: 'tcp', to: address, port })) === 'open', 60);
});

first.after(() => stopWatcher().catch(() => {}));

first('the host finds a machine by its name', async () => {
  const { stdout } = await execa('ping', ['-c', '1', '-W', '5', 'web.k8s-br0.internal']);
  assert.match(stdout, new RegExp(`^64 bytes from .*${address.replaceAll('.', '\\.')}`, 'm'));
  assert.equal(succeeded(await virlan('ip', 'web')).trim(), address);
});

first(
  'a forward leads to it from the host by localhost, and from the LAN by the address of the host',
  async () => {
    const page = `pages of ${address}`;
    assert.equal(await curl(host, 'https://localhost:8443/index.html'), page);
    assert.equal(await curl(lan, `https://${hostAddress}:8443/index.html`), page);
  },
);

first('another machine finds it by its short name', async () => {
  const log = () => readFileSync(serialLog('client'), 'utf8');
  await until(() => log().includes(`answer: pages of ${address}`), 30).catch(() => assert.fail(log()));
});

first('its forwards change while it runs', async () => {
  const machine = '<machine><forward port="9443" to="443"/></machine>';
  const uri = ['--uri', 'urn:virlan:machine:1', '--key', 'virlan', '--live', '--config'];
  await virsh('metadata', 'web', ...uri, '--set', machine);
  const moved = `https://${hostAddress}:9443/index.html`;
  await until(async () => (await curl(lan, moved).catch(() => '')) === `pages of ${address}`, 10);
  await assert.rejects(curl(lan, `https://${hostAddress}:8443/index.html`, '--connect-timeout', '2'));
});

first.run();
