// The Terraform module of contrib/terraform, evaluated by the parser and evaluator of Terraform (terraform/evaluate.go),
// and what it writes, read by virlan. Neither Terraform nor a provider is run.
import assert from 'node:assert/strict';
import { execa } from 'execa';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp } from '../../src/address/ip.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { formulaAddress, formulaMac } from '../../src/identity/formula.ts';
import { poolOf } from '../../src/identity/pool.ts';
import { define, domainXml, macsOf, virlan } from '../sandbox/host.ts';
import { checkout } from '../sandbox/virlan.ts';
import { idle } from '../sandbox/watcher.ts';
import { anyName, hostileNames } from '../unit/builders.ts';
import { startHost } from './client-host.ts';

const terraform = suite('terraform');

const program = '/tmp/evaluate';

interface Variables {
  readonly name: string;
  readonly network?: string;
  readonly nic?: number;
  readonly subnet?: string;
  readonly dhcp_range?: string;
  readonly fixed_addresses?: readonly string[];
  readonly ip?: string;
  readonly hostname?: string;
  readonly aliases?: readonly string[];
  readonly forwards?: readonly Readonly<Record<string, string | null>>[];
}

interface Outputs {
  readonly mac: string;
  readonly ip: string;
  readonly metadata: string;
  readonly error?: string;
}

/** Evaluates the module once for each set of variables. */
async function evaluate(variables: readonly Variables[]): Promise<Outputs[]> {
  const input = variables.map(set => JSON.stringify(set)).join('\n');
  const { stdout } = await execa(program, [`${checkout}/contrib/terraform`], { input });
  return stdout.split('\n').map(line => JSON.parse(line));
}

/** Evaluates the module for one set of variables. Throws if it has an error. */
async function evaluateOne(variables: Variables): Promise<Outputs> {
  const [outputs] = await evaluate([variables]);
  assert(outputs !== undefined && outputs.error === undefined, outputs?.error);
  return outputs;
}

/** Returns what virlan's own formula gives, with virlan.ini as the variables describe it. */
function expected({
  name,
  network = 'k8s-br0',
  nic = 0,
  subnet,
  dhcp_range,
  fixed_addresses = [],
}: Variables) {
  const lines = [`[network.${network}]`];
  if (subnet !== undefined) lines.push(`subnet = ${subnet}`);
  if (dhcp_range !== undefined) lines.push(`dhcp-range = ${dhcp_range}`);
  for (const [index, ip] of [...new Set(fixed_addresses)].entries())
    lines.push(
      `[host.h${index}]`,
      `network = ${network}`,
      `mac = 02:00:00:00:00:${10 + index}`,
      `ip = ${ip}`,
    );
  const parsed = parseConfig(lines.join('\n'));
  assert(parsed.ok, lines.join('\n'));
  const [config] = parsed.config.networks;
  assert(config);
  const key = { network, machine: name, nic };
  const address = formulaAddress(key, poolOf(config), () => 0);
  assert(address !== null);
  return { mac: formulaMac(key, () => false), ip: formatIp(address) };
}

async function assertSame(variables: readonly Variables[]): Promise<void> {
  const found = await evaluate(variables);
  assert.equal(found.length, variables.length);
  for (const [index, set] of variables.entries()) {
    const { mac, ip, error } = found[index] ?? {};
    assert.deepEqual({ mac, ip, error }, { ...expected(set), error: undefined }, JSON.stringify(set));
  }
}

/** Terraform has texts in Unicode's normal form C, and libvirt's names are UTF-8 without slashes. */
function isNameInTerraform(name: string): boolean {
  const isUnicode = Buffer.from(name).toString() === name;
  return isUnicode && name === name.normalize('NFC') && name !== '' && !name.includes('/');
}

terraform.before(async () => {
  await startHost('[network.k8s-br0]\nstp = no\n');
  // Debian's packages of Go, from before Go had modules.
  const env = { HOME: '/tmp', GOPATH: '/usr/share/gocode', GO111MODULE: 'off', CGO_ENABLED: '0' };
  await execa(
    '/usr/lib/go/bin/go',
    ['build', '-o', program, `${checkout}/test/clients/terraform/evaluate.go`],
    {
      env,
      timeout: 300_000,
    },
  );
});

terraform("MAC and address of any name are those of virlan's formula", async () => {
  const names = [...hostileNames, ...fc.sample(anyName, { numRuns: 2000, seed: 15 })].filter(
    isNameInTerraform,
  );
  assert(names.length > 500);
  await assertSame(names.map((name, index) => ({ name, nic: index % 3 })));
});

terraform('the same for other networks, ranges, and addresses that others have', async () => {
  const networks: Omit<Variables, 'name'>[] = [
    { network: 'lab', subnet: '10.20.0.0/16' },
    { network: 'big', subnet: '10.0.0.0/8' },
    { network: 'small', subnet: '192.168.7.0/24', dhcp_range: '192.168.7.10-192.168.7.14' },
    { network: 'tiny', subnet: '172.16.255.248/29' },
    { network: 'one', subnet: '10.1.0.0/24', dhcp_range: '10.1.0.9-10.1.0.9' },
    {
      fixed_addresses: [
        '192.168.100.254',
        '192.168.100.2',
        '192.168.100.3',
        '192.168.100.4',
        '192.168.100.2',
      ],
    },
    {
      subnet: '192.168.100.0/24',
      dhcp_range: '192.168.100.100-192.168.100.109',
      fixed_addresses: [
        '192.168.100.101',
        '192.168.100.9',
        '192.168.100.100',
        '192.168.100.105',
        '192.168.100.106',
      ],
    },
    {
      network: 'wide',
      subnet: '10.3.0.0/16',
      fixed_addresses: ['10.3.0.10', '10.3.0.9', '10.3.1.0', '10.3.255.254'],
    },
  ];
  const names = Array.from({ length: 100 }, (_, index) => `machine-${index}`);
  await assertSame(networks.flatMap(on => names.map(name => ({ ...on, name }))));
});

terraform('a name is used in normal form C, as Terraform hands it to libvirt', async () => {
  const { mac } = await evaluateOne({ name: 'Z\u030ciz\u030ckov' });
  assert.equal(mac, expected({ name: '\u017di\u017ekov' }).mac);
});

terraform('no name, a slash, and what is no IPv4 network are refused', async () => {
  const refused = [
    { name: '' },
    { name: 'a/b' },
    { name: 'web', subnet: '192.168.100.0' },
    { name: 'web', subnet: 'fd00::/64' },
  ];
  for (const { error } of await evaluate(refused)) assert.equal(error, 'a validation fails');
});

terraform('virlan gives a machine with this MAC and metadata what was planned', async () => {
  const wishes: Variables = {
    name: 'planned',
    aliases: ['api', '*.apps'],
    hostname: 'front',
    forwards: [{ port: '8443', to: '443', protocol: null, address: null, from: '10.0.0.0/8' }],
  };
  const { mac, ip, metadata } = await evaluateOne(wishes);
  await define(domainXml({ name: 'planned', nics: [{ type: 'network', source: 'k8s-br0', mac }], metadata }));
  await idle('planned');
  assert.deepEqual(await macsOf('planned'), [mac]);
  assert.equal((await virlan('ip', 'planned')).stdout.trim(), ip);
  const [machine] = JSON.parse((await virlan('inventory', '--list')).stdout)._meta.hostvars.planned
    .virlan_nics;
  assert.deepEqual([machine.ip, machine.hostname, machine.aliases], [ip, 'front', ['api', '*.apps']]);
  const { stdout } = await virlan('forward', 'planned');
  assert.match(stdout, /tcp\/8443:443 from 10\.0\.0\.0\/8/);
});

terraform('a chosen address, and text that XML has to escape, reach virlan as they are', async () => {
  const { ip, metadata } = await evaluateOne({ name: 'web', ip: '192.168.100.50', aliases: ['a"<&>\'b'] });
  assert.equal(ip, '192.168.100.50');
  await define(domainXml({ name: 'web', nics: [{ type: 'network', source: 'k8s-br0' }], metadata }));
  await idle('web');
  assert.equal((await virlan('ip', 'web')).stdout.trim(), ip);
  const problems = JSON.stringify(JSON.parse((await virlan('status', '--json')).stdout));
  assert(problems.includes(JSON.stringify('a"<&>\'b').slice(1, -1)), problems);
});

terraform.run();
