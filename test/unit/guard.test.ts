// guard.test.ts: tests the guard's rules, its elements, and how both are read again.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import type { IpAddress } from '../../src/address/ip.ts';
import { addressesByMac } from '../../src/dnsmasq/leases.ts';
import { parseDenied } from '../../src/guard/denied.ts';
import {
  belongingElements,
  countElements,
  elementsWithout,
  joinElements,
  noElements,
  peerElements,
  remoteIsolatedElements,
  setNames,
  tapElements,
} from '../../src/guard/elements.ts';
import { parseGuardListing } from '../../src/guard/listing.ts';
import { renderGuard } from '../../src/guard/ruleset.ts';
import { changeGuardScript, createGuardScript } from '../../src/guard/script.ts';
import {
  belongings,
  machineTaps,
  remoteIsolatedOf,
  tapsByMac,
  unguardedNames,
} from '../../src/guard/taps.ts';
import { readGuardWishes } from '../../src/guard/wishes.ts';
import { Ledger } from '../../src/identity/ledger.ts';
import { parseDomain } from '../../src/libvirt/domain-xml.ts';
import { anyName, entry, ip, mac, network, uuid } from './builders.ts';
import { assertGolden } from './golden.ts';

const guard = suite('guard');

/** Returns a domain with this metadata element and these NICs on k8s-br0. */
function domain(element = '', ...nics: readonly { mac: string; tap?: string; more?: string }[]) {
  const interfaces = nics.map(
    nic =>
      `<interface type='bridge'><mac address='${nic.mac}'/><source bridge='k8s-br0'/>${nic.tap === undefined ? '' : `<target dev='${nic.tap}'/>`}${nic.more ?? ''}</interface>`,
  );
  const parsed = parseDomain(
    `<domain><name>web</name><uuid>${uuid(1)}</uuid><metadata>${element}</metadata><devices>${interfaces.join('')}</devices></domain>`,
  );
  assert(parsed.ok);
  return parsed.value;
}

function machine(attributes: string, children = ''): string {
  return `<v:machine xmlns:v='urn:virlan:machine:1' ${attributes}>${children}</v:machine>`;
}

/** The lines of a network whose ledger hosts share. */
const shared = [
  'vni = 100',
  '[cluster]',
  'address = 10.0.0.1',
  'peers = etcd',
  'etcd = https://10.0.0.11:2379',
];

const ledger = Ledger.of([{ entry: entry({ macs: [mac(1), mac(9)] }), fields: {} }]);

guard('the rules with and without isolation, and where ports reflect frames', () => {
  const tunnel = 'k8s-br0-vx';
  assertGolden(
    'guard.nft',
    renderGuard(network(), { tunnel: null, filtersFrames: false, limitsConnections: true }),
  );
  assertGolden(
    'guard-isolated.nft',
    renderGuard(network('isolate = yes'), { tunnel, filtersFrames: true, limitsConnections: true }),
  );
  assertGolden(
    'guard-shared.nft',
    renderGuard(network(...shared), { tunnel, filtersFrames: false, limitsConnections: false }),
  );
});

guard('the metadata of a machine: mode, group and ranges; what is not valid counts as missing', () => {
  const cases: [element: string, mode: string | null, ranges: number, ...invalid: string[]][] = [
    ['', null, 0],
    [machine("guard='strict'"), 'strict', 0],
    [machine("guard='no'"), 'no', 0],
    [machine("guard='off'"), null, 0, 'guard'],
    [machine('', "<v:allow address='10.0.0.1'/><v:allow address='10.0.0.3-10.0.0.9'/>"), null, 2],
    // Ranges that overlap or touch are one: the kernel refuses others.
    [machine('', "<v:allow address='10.0.0.1-10.0.0.4'/><v:allow address='10.0.0.3 - 10.0.0.9'/>"), null, 1],
    [machine('', "<v:allow address='10.0.0.1'/><v:allow address='10.0.0.2'/>"), null, 1],
    [machine('', "<v:allow address='10.0.0.9-10.0.0.1'/>"), null, 0, 'allow'],
    [machine('', "<v:allow address='10.0.0.1'/>".repeat(64)), null, 1],
    [machine('', "<v:allow address='10.0.0.1'/>".repeat(65)), null, 1, 'allow-count'],
    [machine('', "<v:allow/><v:allow address='fe80::1'/><v:allow address='1-2-3'/>"), null, 0, 'allow'],
    [machine('', "<allow address='10.0.0.1'/><x:allow xmlns:x='urn:x' address='10.0.0.9'/>"), null, 1],
  ];
  for (const [element, mode, ranges, ...invalid] of cases) {
    const wishes = readGuardWishes(domain(element));
    assert.deepEqual(
      [wishes.mode, wishes.allowed.length, ...wishes.invalid],
      [mode, ranges, ...invalid],
      element,
    );
  }
  assert.equal(readGuardWishes(domain(machine("group='a'"))).group, 'a');
  assert.equal(readGuardWishes(domain(machine("group=''"))).group, null);
});

guard('a machine has the MACs and addresses of all its NICs on each tap, earlier MACs included', () => {
  const both = domain('', { mac: mac(1), tap: 'vnet0' }, { mac: mac(2), tap: 'vnet1' });
  const taps = machineTaps(network(), new Set(), both, ledger);
  assert.deepEqual(
    taps.map(({ tap, guard: guarded }) => [tap, guarded?.macs, guarded?.addresses]),
    ['vnet0', 'vnet1'].map(tap => [tap, [mac(1), mac(2), mac(9)], [ip('192.168.100.7')]]),
  );
});

guard('a machine has the addresses of its leases, too, unless they are reserved for another', () => {
  const other = entry({ uuid: uuid(2), name: 'db', macs: [mac(2)], ip: ip('192.168.100.8') });
  const known = Ledger.of([entry(), other].map(each => ({ entry: each, fields: {} })));
  const lease = (number: number, address: string) => ({
    mac: mac(number),
    ip: ip(address),
    hostname: null,
    clientId: null,
    expires: 0,
  });
  const leases = [
    lease(1, '192.168.100.9'),
    lease(1, '192.168.100.8'),
    lease(3, '192.168.100.10'),
    lease(1, '192.168.100.7'),
  ];
  const running = domain('', { mac: mac(1), tap: 'vnet0' });
  const [found] = machineTaps(network(), new Set(), running, known, addressesByMac(leases));
  assert.deepEqual(found?.guard?.addresses, ['192.168.100.7', '192.168.100.9'].map(ip));
  const { addresses } = belongings(network(), mac(0xfe), [], known, leases);
  assert.equal(addresses.includes(ip('192.168.100.9')), true);
  assert.equal(addresses.includes(ip('192.168.100.10')), false);
});

guard('taps with names that nft would misread are left out, and named', () => {
  const named = (tap: string) => {
    const running = domain('', { mac: mac(1), tap: attribute(tap) });
    const taps = machineTaps(network(), new Set(), running, ledger);
    return [taps.map(each => each.tap), unguardedNames(network(), new Set(), running)];
  };
  for (const tap of ['a b', 'a,b', 'vnet*', 'x"y', '{', 'x}', '..', 'a/b', 'a\\b', 'a:b', 'ü'])
    assert.deepEqual(named(tap), [[], [tap]]);
  for (const tap of ['vnet0', 'web+0', 'tap#1', 'vm@1', '.x', "it's", '-', '$x;'])
    assert.deepEqual(named(tap), [[tap], []]);
  const free = domain(machine("guard='no'"), { mac: mac(1), tap: 'a,b' });
  assert.deepEqual(unguardedNames(network(), new Set(), free), []);
});

function attribute(text: string): string {
  return text.replaceAll('"', '&quot;').replaceAll("'", '&apos;');
}

guard('a tap that nobody knows is found by its MAC, unless two machines could have it', () => {
  const port = { name: 'vnet7', index: 7, type: 'tun', mac: mac('fe:54:00:00:00:01') };
  const running = [domain('', { mac: mac(1) })];
  const found = (ports: typeof port, known = ledger) =>
    tapsByMac(network(), [ports], running, known).map(({ tap }) => tap);
  assert.deepEqual(found(port), ['vnet7']);
  assert.deepEqual(found({ ...port, type: 'veth' }), []);
  assert.deepEqual(found({ ...port, mac: mac('fe:54:00:00:00:02') }), []);
  const twin = entry({ uuid: uuid(2), name: 'twin', macs: [mac('56:54:00:00:00:01')] });
  assert.deepEqual(
    found(port, Ledger.of([...[entry(), twin].map(each => ({ entry: each, fields: {} }))])),
    [],
  );
});

guard('the host, devices and machines have belongings; retired machines have none', () => {
  const lan = network(
    '[host.printer]',
    'network = k8s-br0',
    'mac = 52:54:00:00:00:10',
    'ip = 192.168.100.10',
  );
  const retired = entry({ uuid: uuid(2), macs: [mac(5)], ip: ip('192.168.100.8'), retired: new Date(0) });
  const known = Ledger.of([entry(), retired].map(each => ({ entry: each, fields: {} })));
  const { macs, addresses } = belongings(lan, mac(0xfe), [], known);
  assert.deepEqual(macs, [mac(0xfe), mac(0x10), mac(1)]);
  assert.deepEqual(addresses, ['192.168.100.1', '192.168.100.10', '192.168.100.7'].map(ip));
});

guard('machines of other hosts of a cluster have belongings, and no taps here', () => {
  const there = entry({
    uuid: uuid(2),
    name: 'db',
    macs: [mac(1), mac(5)],
    ip: ip('192.168.100.8'),
    host: ip('10.0.0.2'),
  });
  const known = Ledger.of([entry(), there].map(each => ({ entry: each, fields: {} })));
  const { macs, addresses } = belongings(network(), mac(0xfe), [], known);
  assert.deepEqual(macs, [mac(0xfe), mac(1), mac(1), mac(5)]);
  assert.deepEqual(addresses, ['192.168.100.1', '192.168.100.7', '192.168.100.8'].map(ip));
  const port = { name: 'vnet7', index: 7, type: 'tun', mac: mac('fe:54:00:00:00:01') };
  const found = tapsByMac(network(), [port], [domain('', { mac: mac(1) })], known);
  assert.deepEqual(
    found.map(({ tap }) => tap),
    ['vnet7'],
  );
});

guard(
  'an isolated machine reaches those of its group on other hosts, and devices, if there is a tunnel',
  () => {
    const there = (number: number, group: string | null, changes = {}) =>
      entry({ uuid: uuid(number), macs: [mac(number)], host: ip('10.0.0.2'), group, ...changes });
    const known = Ledger.of(
      [
        there(2, 'shop'),
        there(3, 'bank'),
        there(4, null),
        there(5, 'shop', { host: null }),
        there(6, 'shop', { retired: new Date(0) }),
        there(7, 'shop', { network: 'lab' }),
      ].map(each => ({ entry: each, fields: {} })),
    );
    const device = ['[host.printer]', 'network = k8s-br0', 'mac = 52:54:00:00:00:10', 'ip = 192.168.100.10'];
    const tunnel = ['vni = 100', 'dhcp-range = 192.168.100.2-192.168.100.99'];
    const ends = ['[cluster]', 'address = 10.0.0.1', 'peers = 10.0.0.2'];
    const reached = (lines: readonly string[], element: string) =>
      machineTaps(
        network(...lines),
        new Set(),
        domain(element, { mac: mac(1), tap: 'vnet0' }),
        known,
      ).flatMap(({ guard: guarded }) => guarded?.remotePeers);
    const isolated = ['isolate = yes', ...tunnel, ...device, ...ends];
    assert.deepEqual(reached(isolated, machine("group='shop'")), [mac(0x10), mac(2)]);
    assert.deepEqual(reached(isolated, ''), [mac(0x10)]);
    assert.deepEqual(reached(['isolate = yes', ...device], machine("group='shop'")), []);
    assert.deepEqual(reached([...tunnel, ...device, ...ends], machine("group='shop'")), []);
  },
);

guard('a port that libvirt isolates is kept from such NICs on other hosts that share their ledgers', () => {
  const elsewhere = { host: ip('10.0.0.2'), isolated: true };
  const known = Ledger.of(
    [
      entry({ macs: [mac(1), mac(9)], isolated: true }),
      entry({ uuid: uuid(2), macs: [mac(2), mac(8)], ...elsewhere }),
      entry({ uuid: uuid(3), macs: [mac(3)], ...elsewhere, isolated: false }),
      entry({ uuid: uuid(4), macs: [mac(4)], ...elsewhere, retired: new Date(0) }),
      entry({ uuid: uuid(5), macs: [mac(5)], ...elsewhere, network: 'lab' }),
    ].map(each => ({ entry: each, fields: {} })),
  );
  assert.deepEqual(remoteIsolatedOf(network(...shared), known), [mac(2), mac(8)]);
  assert.deepEqual(remoteIsolatedOf(network(), known), []);
  const nics = [
    { mac: mac(1), tap: 'vnet0', more: "<port isolated='yes'/>" },
    { mac: mac(7), tap: 'vnet1' },
  ];
  const guarded = (lines: readonly string[], element: string) =>
    machineTaps(network(...lines), new Set(), domain(element, ...nics), known).map(each =>
      each.guard === null ? null : tapElements(each.guard),
    );
  for (const mode of ['others', 'strict', 'no']) {
    const [first, second] = guarded(shared, machine(`guard='${mode}'`));
    assert.deepEqual([...(first?.isolated_ports ?? [])], ['"vnet0"'], mode);
    // It sends into the tunnel with the MACs of its machine alone.
    assert.equal(first?.own_macs.size, 3, mode);
    assert.equal(second?.isolated_ports.size ?? 0, 0, mode);
  }
  assert.deepEqual(guarded([], machine("guard='no'")), [null, null]);
  const port = { name: 'vnet7', index: 7, type: 'tun', mac: mac('fe:54:00:00:00:01') };
  const [found] = tapsByMac(network(...shared), [port], [domain('', { mac: mac(1) })], known);
  assert.equal(found?.guard?.portIsolated, true);
});

const tap = {
  name: 'vnet0',
  mode: 'strict',
  isolated: true,
  remotePeers: [mac(3)],
  portIsolated: true,
  macs: [mac(1), mac('02:00:00:00:00:05')],
  addresses: [ip('192.168.100.7')],
  allowed: [
    { first: ip('192.168.100.16'), last: ip('192.168.100.19') },
    { first: ip('192.168.100.240'), last: ip('192.168.100.250') },
    { first: ip('192.168.100.252'), last: ip('192.168.100.252') },
  ],
} as const;

guard('elements are read as they were written, from what nft 1.0.6 and 1.1.3 list', () => {
  const elements = joinElements([
    tapElements(tap),
    belongingElements(tap),
    remoteIsolatedElements([mac(4)]),
    peerElements([
      { tap: 'vnet0', group: 'a' },
      { tap: 'vnet1', group: 'a' },
      { tap: 'vnet2', group: 'b' },
      { tap: 'vnet3', group: null },
    ]),
  ]);
  const listing = `table bridge virlan-k8s-br0 {
	map ports {
		type ifname : verdict
		elements = { "vnet0" : goto strict }
	}

	set macs {
		typeof @ll,48,48
		elements = { 0x525400000001, 0x20000000005 }
	}

	set own_macs {
		typeof iifname . @ll,48,48
		elements = { "vnet0" . 0x525400000001,
			     "vnet0" . 0x20000000005 }
	}

	set addr4 {
		type ipv4_addr
		elements = { 192.168.100.7 }
	}

	set own4 {
		type ifname . ipv4_addr
		elements = { "vnet0" . 192.168.100.7 }
	}

	set allow4 {
		type ifname . ipv4_addr
		flags interval
		elements = { "vnet0" . 192.168.100.240-192.168.100.250,
			     "vnet0" . 192.168.100.16/30,
			     "vnet0" . 192.168.100.252 }
	}

	set addr6 {
		typeof @nh,128,64
		elements = { 0x505400fffe000001,
			     0xfffe000005 }
	}

	set own6 {
		typeof iifname . @nh,128,64
		elements = { "vnet0" . 0x505400fffe000001,
			     "vnet0" . 0xfffe000005 }
	}

	set isolated {
		type ifname
		elements = { "vnet0" }
	}

	set peers {
		type ifname . ifname
		elements = { "vnet0" . "vnet1",
			     "vnet1" . "vnet0" }
	}

	set remote_peers {
		typeof iifname . @ll,48,48
		elements = { "vnet0" . 0x525400000003 }
	}

	set taps {
		type ifname
		elements = { "vnet0" }
	}

	set isolated_ports {
		type ifname
		elements = { "vnet0" }
	}

	set remote_isolated {
		typeof @ll,48,48
		elements = { 0x525400000004 }
	}

	set deny_mac {
		typeof iifname . @ll,48,48
		size 4096
		flags dynamic,timeout
		timeout 3600s
		elements = { "vnet9" . 0x525400000007 timeout 3600s expires 59m }
	}

	chain prerouting {
		iifname vmap @ports
	}
}`;
  const read = parseGuardListing(listing);
  assert.equal(countElements(elementsWithout(read.elements, elements)), 0);
  assert.equal(countElements(elementsWithout(elements, read.elements)), 0);
  assert.deepEqual(
    read.lines.filter(line => /elements|vnet|0x/.test(line)),
    [],
  );
  assert.equal(parseGuardListing('').lines.length, 0);
});

guard('the counters of what was dropped are read, the most frames first', () => {
  const text = `\tset deny_mac {
\t\telements = { "vnet0" . 0x20000000007 counter packets 1 bytes 46 expires 3599s }
\t}
\tset deny_addr4 {
\t\telements = { "vnet0" . 192.168.100.2 counter packets 3 bytes 84 expires 3599s,
\t\t\t     "vnet1" . 192.168.100.9 timeout 1h expires 59m counter packets 2 bytes 84 }
\t}
\tset deny_addr6 {
\t\telements = { "vnet1" . 0xfe800000000000000000000000000007 counter packets 5 bytes 84 expires 3599s }
\t}
\tset deny_router {
\t\telements = { "vnet1" counter packets 4 bytes 49 expires 3599s }
\t}
\tset own4 {
\t\telements = { "vnet1" . 192.168.100.9 counter packets 9 bytes 84 }
\t}`;
  const address = (ip: IpAddress) => ({ kind: 'address', ip });
  assert.deepEqual(parseDenied(text), [
    {
      tap: 'vnet1',
      denial: 'addr6',
      value: address(0xfe800000000000000000000000000007n as IpAddress),
      frames: 5,
    },
    { tap: 'vnet1', denial: 'router', value: null, frames: 4 },
    { tap: 'vnet0', denial: 'addr4', value: address(ip('192.168.100.2')), frames: 3 },
    { tap: 'vnet1', denial: 'addr4', value: address(ip('192.168.100.9')), frames: 2 },
    { tap: 'vnet0', denial: 'mac', value: { kind: 'mac', mac: mac('02:00:00:00:00:07') }, frames: 1 },
  ]);
});

guard('a change has only what differs; no script has what a machine is called', () => {
  assert.equal(changeGuardScript('k8s-br0', noElements, noElements), '');
  const own = (name: string) => ({ ...noElements, own_macs: new Set([`"${name}" . 0x525400000001`]) });
  assert.equal(
    changeGuardScript('k8s-br0', own('vnet0'), own('vnet1')),
    ['add "vnet0"', 'delete "vnet0"', 'add "vnet1"']
      .map(text => text.split(' '))
      .map(([verb, tap]) => `${verb} element bridge virlan-k8s-br0 own_macs { ${tap} . 0x525400000001 }\n`)
      .join(''),
  );
  const script = createGuardScript('k8s-br0', '', tapElements(tap));
  assert.match(script, /^create table bridge virlan-k8s-br0\n/);
  fc.assert(
    fc.property(anyName, name => {
      const groups = peerElements(['vnet0', 'vnet1'].map(each => ({ tap: each, group: name })));
      for (const set of setNames)
        for (const element of groups[set]) assert.match(element, /^"vnet\d" \. "vnet\d"$/);
    }),
  );
});

guard.run();
