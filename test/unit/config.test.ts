// config.test.ts: tests the parser of virlan.ini and its messages.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { suite } from 'uvu';
import { formatIp, formatPrefix } from '../../src/address/ip.ts';
import { parseBootUrl } from '../../src/config/boot.ts';
import { formatConfigProblem, type NetworkConfig } from '../../src/config/config.ts';
import { encodingProblem } from '../../src/config/encoding.ts';
import { type Forward, formatForward, parseForward } from '../../src/config/forward.ts';
import { InvalidConfig } from '../../src/config/invalid-config.ts';
import { loadConfig } from '../../src/config/load.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { anyName, config, ip, mac, network } from './builders.ts';

const configuration = suite('config');

/** The installed file: every line is commented out. */
const installed = readFileSync('install/virlan.ini', 'utf8');

/** The same with its settings active. */
const activated = installed.replace(/^; (?=\[|[a-z-]+ =)/gm, '');

const defaults: NetworkConfig = {
  name: 'k8s-br0',
  bridge: 'k8s-br0',
  subnet: { network: ip('192.168.100.0'), length: 24 },
  gateway: ip('192.168.100.1'),
  range: { first: ip('192.168.100.2'), last: ip('192.168.100.254') },
  mode: 'nat',
  outside: 'all',
  uplink: null,
  others: [],
  hostForwards: true,
  stp: true,
  mtu: 1500,
  tunnel: null,
  sharesLedger: false,
  firewall: 'auto',
  hostAccess: 'basic',
  hostAllow: [],
  hostFirewall: 'bridge',
  domain: 'k8s-br0.internal',
  names: 'domain',
  dns: 'host',
  boot: null,
  tftp: null,
  dhcpOptions: [],
  macPolicy: 'assign',
  defaultNetwork: 'auto',
  leaseTimeSeconds: 3600,
  onError: 'start',
  guard: 'others',
  forwardPorts: { first: 1024, last: 65_535 },
  localhost: false,
  isolate: false,
  strangers: true,
  hosts: [],
  machines: [],
};

const printer = { name: 'printer', mac: mac(0x10), ip: ip('192.168.100.10') };

const web = {
  name: 'web',
  aliases: ['api', 'www', '*.apps'],
  forwards: [forward('tcp/8443:443'), forward('udp/30000-30010')],
  boot: parseBootUrl('http://boot.example/web.ipxe') || null,
};

function forward(text: string): Forward {
  const read = parseForward(text);
  assert(read !== null, text);
  return read;
}

/** Returns the problems of a text as a user reads them: `line: what: message`. */
function problems(...lines: readonly string[]): string[] {
  const result = parseConfig(lines.join('\n'));
  return result.ok
    ? []
    : result.problems.map(problem => formatConfigProblem('ini', problem).replace(/^ini:/, ''));
}

configuration('an empty file and the installed one mean the defaults', () => {
  assert.deepEqual(config('').networks, [defaults]);
  assert.deepEqual(config(installed).networks, [defaults]);
});

configuration('the settings of the installed file are the defaults, with the printer as an example', () => {
  assert.notEqual(activated, installed);
  assert.deepEqual(config(activated).networks, [{ ...defaults, hosts: [printer], machines: [web] }]);
});

configuration('byte order mark, line ends, comments, quotes and white space are accepted', () => {
  const text =
    '\ufeff# first\r\n[network.lan] # a comment\r\n  mtu=9000;comment\r\n\tbridge = "br.1"\r\n;last';
  const [found] = config(text).networks;
  assert.deepEqual(
    [found?.name, found?.mtu, found?.bridge, found?.domain],
    ['lan', 9000, 'br.1', 'lan.internal'],
  );
});

/** Key → valid values with their parsed form, and invalid values. */
const keys: Record<
  string,
  { valid: [text: string, value: unknown][]; invalid: string[]; field: keyof NetworkConfig }
> = {
  bridge: {
    field: 'bridge',
    valid: [
      ['br0', 'br0'],
      ['a'.repeat(15), 'a'.repeat(15)],
      ['br_0.1-x', 'br_0.1-x'],
      ['...x', '...x'],
    ],
    // The kernel reserves all and default for sysctls that apply to every link.
    invalid: [
      '',
      'a'.repeat(16),
      'a/b',
      'a b',
      '.',
      '..',
      'ä',
      'br*',
      'br+',
      '-br',
      'a:1',
      'a"b',
      'all',
      'default',
    ],
  },
  subnet: {
    field: 'subnet',
    valid: [
      ['10.0.0.0/8', { network: ip('10.0.0.0'), length: 8 }],
      ['192.168.7.8/29', { network: ip('192.168.7.8'), length: 29 }],
    ],
    invalid: [
      '',
      '10.0.0.0',
      '10.0.0.1/24',
      '10.0.0.0/30',
      '0.0.0.0/0',
      '10.0.0.0/33',
      '10.0.0/24',
      'fd00::/64',
      '010.0.0.0/8',
    ],
  },
  'dhcp-range': {
    field: 'range',
    valid: [
      ['192.168.100.50-192.168.100.60', { first: ip('192.168.100.50'), last: ip('192.168.100.60') }],
      ['192.168.100.9 - 192.168.100.9', { first: ip('192.168.100.9'), last: ip('192.168.100.9') }],
    ],
    invalid: [
      '',
      '192.168.100.50',
      '192.168.100.50-60',
      '192.168.100.50,192.168.100.60',
      '192.168.100.2-192.168.100.3-192.168.100.4',
    ],
  },
  mode: {
    field: 'mode',
    valid: [
      ['nat', 'nat'],
      ['routed', 'routed'],
      ['isolated', 'isolated'],
      ['open', 'open'],
    ],
    invalid: ['', 'NAT', 'route', 'bridge'],
  },
  outside: { field: 'outside', valid: [['uplink', 'uplink']], invalid: ['', 'none', 'eth0'] },
  uplink: {
    field: 'uplink',
    valid: [
      ['eth0', 'eth0'],
      ['bond0.100', 'bond0.100'],
      ['', null],
    ],
    invalid: ['eth0 eth1', 'eth+', 'eth0,eth1', '-j', 'a"b', 'all'],
  },
  reaches: { field: 'others', valid: [['', []]], invalid: ['a b', 'a.b', 'a/b', '$(id)', '*'] },
  stp: {
    field: 'stp',
    valid: [
      ['no', false],
      ['on', true],
      ['TRUE', true],
      ['0', false],
    ],
    invalid: ['', 'maybe', '2', 'yes no'],
  },
  mtu: {
    field: 'mtu',
    valid: [
      ['68', 68],
      ['65521', 65521],
    ],
    invalid: ['', '67', '65522', '1500.5', '-1', '0x600', '1e3', '99999999999'],
  },
  // With a [cluster] section: see cluster.test.ts.
  vni: { field: 'tunnel', valid: [['', null]], invalid: ['0', '16777216', '-1', '0x64', '1.5', 'x'] },
  firewall: {
    field: 'firewall',
    valid: [
      ['nftables', 'nftables'],
      ['iptables', 'iptables'],
    ],
    invalid: ['', 'nft', 'Auto', 'none'],
  },
  'host-access': {
    field: 'hostAccess',
    valid: [
      ['minimal', 'minimal'],
      ['all', 'all'],
    ],
    invalid: ['', 'none'],
  },
  'host-allow': {
    field: 'hostAllow',
    valid: [
      ['', []],
      [
        'tcp/5000, udp/123,tcp/6000-6010',
        [
          { protocol: 'tcp', first: 5000, last: 5000 },
          { protocol: 'udp', first: 123, last: 123 },
          { protocol: 'tcp', first: 6000, last: 6010 },
        ],
      ],
    ],
    invalid: [
      '5000',
      'tcp/0',
      'tcp/65536',
      'sctp/1',
      'tcp/20-10',
      'tcp/1-2-3',
      'TCP/1',
      'tcp/ 1',
      'tcp/http',
      'tcp/1 udp/2',
    ],
  },
  'host-firewall': { field: 'hostFirewall', valid: [['strict', 'strict']], invalid: ['', 'off'] },
  'forward-ports': {
    field: 'forwardPorts',
    valid: [
      ['no', null],
      ['30000-32767', { first: 30_000, last: 32_767 }],
      ['8443', { first: 8443, last: 8443 }],
    ],
    invalid: ['', '0-10', '1-65536', '20-10', 'yes', '1-2-3', '1024-'],
  },
  localhost: { field: 'localhost', valid: [['yes', true]], invalid: ['', 'maybe'] },
  names: {
    field: 'names',
    valid: [
      ['search', 'search'],
      ['no', 'no'],
    ],
    invalid: ['', 'yes', 'Domain'],
  },
  domain: {
    field: 'domain',
    valid: [
      ['Lan.Example', 'lan.example'],
      ['x.y', 'x.y'],
    ],
    invalid: [
      'x',
      'local',
      'Lan.local',
      '',
      '.',
      'a..b',
      '-a',
      'a-',
      'a b',
      'a_b',
      'a/b',
      'ü.de',
      `${'a'.repeat(64)}.b`,
      `${'a.'.repeat(127)}a`,
    ],
  },
  dns: {
    field: 'dns',
    valid: [
      ['9.9.9.9', [ip('9.9.9.9')]],
      ['9.9.9.9, 1.1.1.1', [ip('9.9.9.9'), ip('1.1.1.1')]],
    ],
    invalid: ['', ',', 'dns.example', '9.9.9', 'host, 9.9.9.9', '2620:fe::fe', '192.168.100.1'],
  },
  mac: {
    field: 'macPolicy',
    valid: [
      ['always', 'always'],
      ['keep', 'keep'],
    ],
    invalid: ['', 'never'],
  },
  'default-network': {
    field: 'defaultNetwork',
    valid: [
      ['remove', 'remove'],
      ['replace', 'replace'],
      ['keep', 'keep'],
    ],
    invalid: ['', 'no'],
  },
  'lease-time': {
    field: 'leaseTimeSeconds',
    valid: [
      ['120', 120],
      ['2m', 120],
      ['12h', 43_200],
      ['7d', 604_800],
      ['2w', 1_209_600],
      ['infinite', 'infinite'],
    ],
    invalid: ['', '119', '1m', '1 h', '1y', '1.5h', '-1h', '9999999w'],
  },
  boot: {
    field: 'boot',
    valid: [
      ['', null],
      [
        `http://192.168.100.1:8080/\${hostname}.ipxe?a=b&c=(d)`,
        {
          kind: 'url',
          url: `http://192.168.100.1:8080/\${hostname}.ipxe?a=b&c=(d)`,
          scheme: 'http',
          host: '192.168.100.1',
          port: 8080,
        },
      ],
      [
        'https://boot.example/x',
        { kind: 'url', url: 'https://boot.example/x', scheme: 'https', host: 'boot.example', port: 443 },
      ],
    ],
    invalid: [
      'http://',
      'ftp://a/b',
      'http://a',
      'http://a/b,c',
      'http://a/b c',
      'http://a:0/b',
      'http://a:65536/b',
      '"http://a/\\"',
      '/etc/passwd',
      '../x',
      'a/../b',
      'a,b',
      'tag:x',
      'x y',
      '\u001b[31m',
    ],
  },
  tftp: {
    field: 'tftp',
    valid: [
      ['/srv/tftp', '/srv/tftp'],
      ['', null],
    ],
    invalid: ['srv', '/', '/a b', '/a,b', '/a/../b', '/a"b', '/a\tb'],
  },
  'dhcp-option': {
    field: 'dhcpOptions',
    valid: [
      ['', []],
      [
        '42:10.0.0.1 10.0.0.2, domain-search:lab.example,66:boot',
        [
          { option: 42, values: ['10.0.0.1', '10.0.0.2'] },
          { option: 'domain-search', values: ['lab.example'] },
          { option: 66, values: ['boot'] },
        ],
      ],
      ['nis+-domain:x', [{ option: 'nis+-domain', values: ['x'] }]],
    ],
    invalid: [
      '42',
      '42:',
      ':x',
      '255:x',
      '999:x',
      '1:255.255.0.0',
      '51:60',
      'netmask:255.0.0.0',
      'hostname:web',
      'tag:x',
      '66:set:evil',
      '66:x tag:y',
      '66:option:router',
      '66:a"b',
      'NTP-SERVER:x',
      '66:x\u0007',
    ],
  },
  'on-error': { field: 'onError', valid: [['abort', 'abort']], invalid: ['', 'ignore'] },
  isolate: { field: 'isolate', valid: [['yes', true]], invalid: ['', 'maybe'] },
  strangers: { field: 'strangers', valid: [['no', false]], invalid: ['', 'maybe'] },
  guard: {
    field: 'guard',
    valid: [
      ['strict', 'strict'],
      ['no', 'no'],
    ],
    invalid: ['', 'yes'],
  },
};

configuration(
  'each key accepts its valid values; an invalid one is reported with line, key and remedy',
  () => {
    for (const [key, { field, valid, invalid }] of Object.entries(keys)) {
      for (const [text, value] of valid)
        assert.deepEqual(network(`${key} = ${text}`)[field], value, `${key} = ${text}`);
      for (const text of invalid) {
        const [problem = '', ...more] = problems('; line 1', '[network.k8s-br0]', `${key} = ${text}`);
        assert.deepEqual(more, []);
        const shown = `3: ${key} = ${text.replace(/[^ -~]/g, '?')}`.slice(0, 40);
        assert(problem.startsWith(shown), `${problem} does not begin with ${shown}`);
        assert.match(problem, /: (.*)(write|use|name another)/, problem);
      }
    }
    assert.deepEqual(
      Object.keys(keys).sort(),
      [...(problems('[network.a]', 'x = 1')[0]?.split('its keys are ')[1]?.split(', ') ?? [])].sort(),
    );
  },
);

configuration('a forward is read and written in one form; any other is an error that shows the form', () => {
  const of = (text: string) => network(...lab.slice(1), '[machine.my vm.2]', `forward = ${text}`).machines;
  for (const text of [
    'tcp/8443',
    'tcp/8443:443',
    'udp/30000-30010',
    'udp/30000-30010:40000-40010',
    'tcp/1-65535',
    'tcp/2222:22 on 192.0.2.5',
    'tcp/2222:22 from 10.0.0.0/8',
    'tcp/2222:22 on 192.0.2.5 from 10.0.0.1/32',
  ])
    assert.deepEqual(of(text)[0]?.forwards.map(formatForward), [text]);
  assert.deepEqual(
    of('tcp/1:5, udp/7-9:17').map(({ name, forwards }) => [name, forwards.map(formatForward)]),
    [['my vm.2', ['tcp/1:5', 'udp/7-9:17-19']]],
  );
  for (const text of [
    '8443',
    'tcp/0',
    'tcp/65536',
    'tcp/10-5',
    'tcp/1-3:1-4',
    'tcp/1-10:65530',
    // Each port is an element of its own.
    'tcp/1-1000:2001-3000',
    'sctp/1',
    'tcp/1:',
    'tcp/1 on ::1',
    'tcp/1 on 192.0.2',
    'tcp/1 from 10.0.0.1/8',
    'tcp/1 from 0.0.0.0/33',
    'tcp/1 from 10.0.0.0/8 on 192.0.2.5',
    'tcp/1;rm -rf',
    'tcp/1 { }',
  ]) {
    const [problem = ''] = problems('[machine.web]', `forward = "${text}"`);
    assert.match(problem, /^2: forward = .*: write forwards such as tcp\/8443:443/, text);
  }
});

configuration('the ports of this host that network boot needs are opened, and no others', () => {
  const opened = (...lines: readonly string[]) =>
    network(...lines).hostAllow.map(({ protocol, first, last }) => `${protocol}/${first}-${last}`);
  assert.deepEqual(opened('boot = http://192.168.100.1/x'), ['tcp/80-80']);
  assert.deepEqual(opened('boot = https://Gateway.k8s-br0.internal/x'), ['tcp/443-443']);
  assert.deepEqual(opened('tftp = /srv', 'boot = http://192.168.100.1:8080/x', 'host-allow = tcp/22'), [
    'tcp/22-22',
    'udp/69-69',
    'tcp/8080-8080',
  ]);
  for (const elsewhere of [
    'http://192.168.100.10/x',
    'http://192.168.100.1.example/x',
    'tftp://192.168.100.1/x',
  ])
    assert.deepEqual(opened(`boot = ${elsewhere}`), [], elsewhere);
});

configuration('aliases of a machine are names or wildcards', () => {
  const of = (text: string) => network('[machine.my vm.2]', `aliases = ${text}`).machines[0]?.aliases;
  assert.deepEqual(of('api, www *.apps,* Api.k8s-br0.internal'), [
    'api',
    'www',
    '*.apps',
    '*',
    'Api.k8s-br0.internal',
  ]);
  assert.deepEqual(of(''), []);
  for (const text of ['a_b', '*a', '**', 'a..b', '$(id)', 'ä'])
    assert.throws(() => of(text), /write names such as api, www/, text);
});

configuration('the default range is the subnet without its ends and the host', () => {
  const { gateway, range } = network('subnet = 10.0.0.8/29');
  assert.deepEqual([gateway, range.first, range.last].map(formatIp), ['10.0.0.9', '10.0.0.10', '10.0.0.14']);
  const wide = network('subnet = 10.0.0.0/8');
  assert.deepEqual([wide.range.first, wide.range.last].map(formatIp), ['10.0.0.2', '10.255.255.254']);
});

configuration('a name that is too long for a bridge is valid with a bridge = line', () => {
  const [found] = config('[network.a-rather-long-name]\nbridge = br1').networks;
  assert.deepEqual([found?.name, found?.bridge], ['a-rather-long-name', 'br1']);
});

configuration(
  'networks reach each other if one of them names the other, and know the rest as separate',
  () => {
    const { networks } = config(`
    [network.a]
    subnet = 10.1.0.0/16
    reaches = b
    [network.b]
    subnet = 10.2.0.0/16
    mode = routed
    [network.c]
    subnet = 10.3.0.0/16
    mode = isolated`);
    assert.deepEqual(
      networks.map(({ others }) => others.map(({ name, isReached }) => `${name} ${isReached}`)),
      [
        ['b true', 'c false'],
        ['a true', 'c false'],
        ['a false', 'b false'],
      ],
    );
  },
);

configuration('the host forwards unless all networks are isolated', () => {
  const forwards = (...modes: readonly string[]) => {
    const sections = modes.map((mode, at) => `[network.n${at}]\nsubnet = 10.${at}.0.0/24\nmode = ${mode}`);
    return config(sections.join('\n')).networks.map(({ hostForwards }) => hostForwards);
  };
  assert.deepEqual(forwards('isolated', 'isolated'), [false, false]);
  for (const mode of ['nat', 'routed', 'open']) assert.deepEqual(forwards('isolated', mode), [true, true]);
});

configuration('several networks and hosts are parsed', () => {
  const { networks } = config(`
    [host.NAS]
    network = lab_2
    mac = 00:11:22:33:44:55
    ip = 10.2.0.9
    [network.lab1]
    subnet = 10.1.0.0/16
    [network.lab_2]
    subnet = 10.2.0.0/16`);
  assert.deepEqual(
    networks.map(({ name, subnet, domain, hosts }) => [
      name,
      formatPrefix(subnet),
      domain,
      hosts.map(host => host.name),
    ]),
    [
      ['lab1', '10.1.0.0/16', 'lab1.internal', []],
      ['lab_2', '10.2.0.0/16', 'lab-2.internal', ['nas']],
    ],
  );
});

const lab = ['[network.a]', 'subnet = 10.0.0.0/24'];

function host(name: string, lastByte: number, ...change: string[]) {
  return [
    `[host.${name}]`,
    'network = a',
    `mac = ${mac(lastByte)}`,
    `ip = 10.0.0.${lastByte}`,
    ...change,
  ].join('\n');
}

/** Invalid combinations, each with the beginning of its message and a part of the remedy. */
const invalidCombinations: [lines: string[], begins: string, remedy: RegExp][] = [
  [
    [...lab, 'boot = boot.ipxe'],
    '3: boot = boot.ipxe: is a file, for which there is no directory',
    /: write tftp = DIRECTORY, or a URL$/,
  ],
  ...['outside = uplink', 'uplink = eth0', 'reaches = b', 'dns = 9.9.9.9'].map(
    (line): [string[], string, RegExp] => [
      ['[network.b]', 'subnet = 10.9.0.0/24', ...lab, 'mode = isolated', line],
      `6: ${line}: has no effect with mode = isolated, which reaches this host only`,
      /: remove it, or choose another mode$/,
    ],
  ),
  ...['outside = all', 'uplink = eth0', 'reaches = b', 'host-access = all', 'host-firewall = strict'].map(
    (line): [string[], string, RegExp] => [
      ['[network.b]', 'subnet = 10.9.0.0/24', ...lab, 'mode = open', line],
      `6: ${line}: has no effect with mode = open, which has no rules`,
      /: remove it, or choose another mode$/,
    ],
  ),
  [
    [...lab, 'host-allow = tcp/80', 'mode = open'],
    '3: host-allow = tcp/80: has no effect with mode = open',
    /: remove it/,
  ],
  [
    [...lab, 'uplink = eth0', 'outside = all'],
    '4: outside = all: contradicts uplink = eth0',
    /: remove one of them$/,
  ],
  [[...lab, 'uplink = a'], '3: uplink = a: is the bridge of [network.a]', /: name a link to the outside$/],
  [
    [...lab, 'uplink = b', '[network.b]', 'subnet = 10.9.0.0/24'],
    '3: uplink = b: is the bridge of [network.b]',
    /: use reaches = to reach a network$/,
  ],
  [
    [...lab, 'reaches = nobody'],
    '3: reaches = nobody: there is no [network.nobody]',
    /: write the NAME of another network$/,
  ],
  [[...lab, 'reaches = a'], '3: reaches = a: names this network itself', /: name another one$/],
  ...['isolated', 'open'].map((mode): [string[], string, RegExp] => [
    [...lab, 'reaches = b', '[network.b]', 'subnet = 10.9.0.0/24', `mode = ${mode}`],
    `3: reaches = b: [network.b] has mode = ${mode}, in which no other network is reached`,
    /: change one of them$/,
  ]),
  [['stray = 1'], '1: stray = 1: is not in a section', /put it below/],
  [['[network.a]', 'mtu'], '2: mtu: is not a setting', /write KEY = VALUE/],
  [
    ['[network.a]', 'colour = red'],
    '2: colour: is not a key of a network section',
    /its keys are bridge, subnet/,
  ],
  [['[network.a]', 'stp[] = no'], '2: stp[]: is not a key', /its keys are/],
  [['[network.a]', '__proto__ = 1'], '2: __proto__ = 1: is not a setting', /write KEY = VALUE/],
  [['[network.a]', 'constructor = 1'], '2: constructor: is not a key', /its keys are/],
  [['[network.a]', '= 1'], '2: = 1: ', /write KEY = VALUE/],
  [['[network.a]', 'mtu = 1500', 'mtu = 1500'], '3: mtu: is set twice, first in line 2', /keep one/],
  [['[network.all]'], '1: [network.all]: its name cannot be that of a bridge', /bridge = /],
  [['[network.a]', '[network.a]'], '2: [network.a]: exists twice, first in line 1', /merge the two/],
  [['[network.a', 'mtu = x'], '1: [network.a: is not a section header', /write \[network.NAME\]/],
  [['[Network.a]'], '1: [Network.a]: is not a section header', /write/],
  [['[network.a b]'], '1: [network.a b]: is not a section header', /write/],
  [['[network.]'], '1: [network.]: is not a section header', /write/],
  [['[router.a]'], '1: [router.a]: is not a section header', /write/],
  [['[network.a] mtu = 1'], '1: [network.a] mtu = 1: is not a section header', /write/],
  [['[network.default]'], "1: [network.default]: is the name of libvirt's own", /choose another/],
  [
    [`[network.${'a'.repeat(16)}]`],
    '1: [network.aaaaaaaaaaaaaaaa]: its name cannot be that of a bridge',
    /bridge = /,
  ],
  [
    ['[network.a]', 'dhcp-range = 192.168.100.9-192.168.100.8'],
    '2: dhcp-range = 192.168.100.9-192.168.100.8: ends before it begins',
    /put the lower/,
  ],
  [
    [...lab, 'dhcp-range = 10.0.1.2-10.0.1.9'],
    '3: dhcp-range = 10.0.1.2-10.0.1.9: is not inside 10.0.0.0/24',
    /change it, or change subnet/,
  ],
  [
    [...lab, 'dhcp-range = 9.9.9.9-10.0.0.9'],
    '3: dhcp-range = 9.9.9.9-10.0.0.9: is not inside',
    /change it, or change subnet/,
  ],
  [
    [...lab, 'dhcp-range = 10.0.0.0-10.0.0.0'],
    '3: dhcp-range = 10.0.0.0-10.0.0.0: includes the lowest',
    /leave it out/,
  ],
  [
    [...lab, '[network.b]', 'subnet = 10.0.0.128/25'],
    '4: subnet = 10.0.0.128/25: overlaps 10.0.0.0/24 of [network.a]',
    /choose another/,
  ],
  [[...lab, host('p', 0)], "6: ip = 10.0.0.0: is the host's own address, or the lowest", /choose another/],
  [
    [...lab, host('p', 255)],
    "6: ip = 10.0.0.255: is the host's own address, or the lowest",
    /choose another/,
  ],
  [
    [...lab, 'dhcp-range = 10.0.0.9-10.0.1.9'],
    '3: dhcp-range = 10.0.0.9-10.0.1.9: is not inside',
    /change it, or change subnet/,
  ],
  [
    [...lab, 'dhcp-range = 10.0.0.1-10.0.0.9'],
    "3: dhcp-range = 10.0.0.1-10.0.0.9: includes the host's own address 10.0.0.1",
    /begin after/,
  ],
  [
    [...lab, 'dhcp-range = 10.0.0.9-10.0.0.255'],
    '3: dhcp-range = 10.0.0.9-10.0.0.255: includes the lowest or highest',
    /leave it out/,
  ],
  [
    [...lab, '[network.b]', 'subnet = 10.0.0.0/16'],
    '4: subnet = 10.0.0.0/16: overlaps 10.0.0.0/24 of [network.a]',
    /choose another/,
  ],
  [
    ['[network.a]', '[network.b]'],
    '2: subnet = 192.168.100.0/24: overlaps 192.168.100.0/24',
    /choose another/,
  ],
  [
    ['[network.Lab]', 'subnet = 10.1.0.0/24', '[network.lab]'],
    '3: domain = lab.internal: is also the domain of [network.Lab]',
    /write another/,
  ],
  ...['127.1.0.0/16', '224.0.0.0/24', '239.1.0.0/16', '0.0.0.0/8'].map(
    (subnet): [string[], string, RegExp] => [
      ['[network.a]', `subnet = ${subnet}`],
      `2: subnet = ${subnet}: has addresses of `,
      /no machine can have: choose another/,
    ],
  ),
  [
    [...lab, '[network.b]', 'bridge = a'],
    '4: bridge = a: is also the bridge of [network.a]',
    /choose another/,
  ],
  [[...lab, host('p', 7), host('q', 8, 'mac = x')], '11: mac: is set twice', /keep one/],
  [[...lab, '[host.p]', 'network = a'], '3: [host.p]: has no mac: add a line mac = …', /add a line/],
  [
    [...lab, host('p', 7, 'mtu = 1')],
    '7: mtu: is not a key of a host section',
    /its keys are network, mac, ip/,
  ],
  [[...lab, host('-p', 7)], '3: [host.-p]: cannot be a host name', /use letters/],
  [[...lab, host('p_1', 7)], '3: [host.p_1]: cannot be a host name', /use letters/],
  [[...lab, host('24h', 7)], '3: [host.24h]: cannot be a host name', /use letters/],
  [
    [...lab, host('p', 7).replace('= a', '= b')],
    '4: network = b: names a network that has no section',
    /write the NAME/,
  ],
  [
    [...lab, host('p', 7).replace(/52:54/, '01:00')],
    '5: mac = 01:00:00:00:00:07: write a unicast MAC',
    /write/,
  ],
  [[...lab, host('p', 7).replace('10.0.0.7', '10.0.0')], '6: ip = 10.0.0: write an address', /write/],
  [
    [...lab, host('p', 7).replace('10.0.0.7', '10.0.1.7')],
    '6: ip = 10.0.1.7: is not inside 10.0.0.0/24',
    /choose an address inside/,
  ],
  [[...lab, host('p', 1)], "6: ip = 10.0.0.1: is the host's own", /choose another/],
  [
    [...lab, host('p', 7), host('q', 8).replace('10.0.0.8', '10.0.0.7')],
    '10: ip = 10.0.0.7: is also that of [host.p] in line 3',
    /change one/,
  ],
  [
    [...lab, host('p', 7), host('q', 8).replace(mac(8), mac(7))],
    '9: mac = 52:54:00:00:00:07: is also that of [host.p] in line 3',
    /change one/,
  ],
  [[...lab, host('p', 7), host('P', 8)], '7: [host.p]: exists twice, first in line 3', /merge the two/],
];

configuration('an invalid combination is reported with its line and a remedy', () => {
  for (const [lines, begins, remedy] of invalidCombinations) {
    const [problem = '', ...more] = problems(...lines.flatMap(text => text.split('\n')));
    assert(problem.startsWith(begins), `${problem} does not begin with ${begins}`);
    assert.match(problem, remedy);
    assert(
      more.length === 0 || begins.includes('has no mac'),
      `more than one problem: ${[problem, ...more].join('; ')}`,
    );
  }
});

configuration('all problems are reported at once, in the order of the lines', () => {
  const found = problems(
    '[network.a]',
    'mtu = x',
    'nonsense',
    'stp = x',
    '[network.default]',
    '[host.p]',
    'ip = 1',
  );
  assert.deepEqual(
    found.map(problem => Number.parseInt(problem, 10)),
    [2, 3, 4, 5, 6, 6, 7],
  );
});

configuration('no text makes the parser throw, and every message is plain ASCII', () => {
  const line = fc.oneof(
    fc.constantFrom(
      '[network.a]',
      '[network.b]',
      '[host.p]',
      'network = a',
      'ip = 10.0.0.7',
      `mac = ${mac(7)}`,
    ),
    fc.tuple(fc.constantFrom(...Object.keys(keys)), anyName).map(([key, value]) => `${key} = ${value}`),
    fc.tuple(anyName, anyName).map(([key, value]) => `${key}=${value}`),
    anyName.map(name => `[network.${name}]`),
    anyName,
  );
  fc.assert(
    fc.property(fc.array(line), lines => {
      for (const problem of problems(...lines, '[network.x]', ...lines, ...lines))
        assert.doesNotMatch(problem, /[^ -~…]/);
    }),
    { numRuns: 2000 },
  );
});

/** Returns the error that loading a path throws. */
function loadError(path: string): InvalidConfig {
  try {
    loadConfig(path);
  } catch (error) {
    if (error instanceof InvalidConfig) return error;
    throw error;
  }
  throw new Error(`${path} was loaded`);
}

configuration('an unusable file is an error with a code, its problems and its cause', () => {
  const missing = loadError('test/unit/none.ini');
  assert.equal(missing.code, 'invalid-config');
  assert.deepEqual(
    missing.problems.map(({ line, what }) => [line, what]),
    [[0, '']],
  );
  assert.match(missing.message, /^test\/unit\/none.ini: does not exist: name an existing file/);
  const unreadable = loadError('test/unit');
  assert.match(unreadable.message, /^test\/unit: cannot be read: /);
  assert(unreadable.cause instanceof Error);
  const broken = loadError('package.json');
  assert(broken.problems.length > 1);
  assert.equal(broken.message.split('\n').length, broken.problems.length);
});

configuration(
  'a file in UTF-16, or with NUL bytes, is named with what to do; UTF-8 with a byte order mark is read',
  () => {
    const text = '# größe\r\n[network.lan]\r\nmtu = 9000\r\n';
    const le = Buffer.from(text, 'utf16le');
    const be = Buffer.from(le).swap16();
    const path = "/srv/my lan's.ini";
    const quoted = "'/srv/my lan'\\''s.ini";
    const utf16 = (encoding: string) =>
      `is in ${encoding}, not UTF-8: iconv -f ${encoding} -t UTF-8 ${quoted}' >${quoted}.utf8' && mv ${quoted}.utf8' ${quoted}'`;
    const cases: [string, Buffer, string | null][] = [
      ['UTF-16LE with a mark', Buffer.concat([Buffer.from([0xff, 0xfe]), le]), utf16('UTF-16LE')],
      ['UTF-16BE with a mark', Buffer.concat([Buffer.from([0xfe, 0xff]), be]), utf16('UTF-16BE')],
      ['UTF-16LE', le, utf16('UTF-16LE')],
      ['UTF-16BE', be, utf16('UTF-16BE')],
      ['UTF-16LE that begins with another letter', Buffer.from(`ж${text}`, 'utf16le'), utf16('UTF-16LE')],
      ['a mark alone', Buffer.from([0xff, 0xfe]), utf16('UTF-16LE')],
      [
        'a NUL byte',
        Buffer.from(`${text}\0`),
        `has a NUL byte at offset ${Buffer.byteLength(text)}: remove it`,
      ],
      ['UTF-8', Buffer.from(text), null],
      ['UTF-8 with a mark', Buffer.from(`\ufeff${text}`), null],
      ['nothing', Buffer.alloc(0), null],
    ];
    for (const [title, bytes, expected] of cases) assert.equal(encodingProblem(bytes, path), expected, title);
  },
);

configuration.run();
