// monitor-lines.test.ts: tests which lines of `nft monitor` and `ip monitor` may be changes that matter.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { Lines } from '../../src/system/lines.ts';
import {
  isFloodChange,
  isRulesChange,
  isRulesOfWayChange,
  isWayChange,
  LinkChanges,
  LinkStates,
  PortChanges,
} from '../../src/watcher/monitors/monitor-lines.ts';

const monitorLines = suite('monitor lines');
const ether = '\\    link/ether 52:54:00:7f:a7:da brd ff:ff:ff:ff:ff:ff';

/** Lines of `nft monitor`. */
const rules: [line: string, isChange: boolean][] = [
  ['add table ip virlan-k8s-br0', true],
  ['delete rule ip filter FORWARD handle 2', true],
  ['add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }', true],
  ['insert rule inet firewalld filter_FWD iifname "k8s-br0" drop', true],
  ['# new generation 8 by process 28483 (nft)', false],
  ['# ERROR: We lost some netlink events!', true],
  ['add table ip virlan_probe', false],
  ['add chain ip virlan_probe earliest { type filter hook prerouting priority -400; policy accept; }', false],
  ['add rule ip virlan_probe incoming iifname "k8s-br0" ip saddr 192.168.100.254 counter packets 0', false],
  ['delete table ip virlan_probe', false],
  ['delete set ip virlan_probe __set0', false],
  ['trace id 92e81a45 ip filter FORWARD rule tcp dport 22 drop (verdict drop)', false],
  ['add table ip virlan_probe2', true],
  ['add table inet virlan_probe', true],
];

/** Lines of `bridge monitor fdb`. */
const floods: [line: string, isChange: boolean][] = [
  ['00:00:00:00:00:00 dev k8s-br0-vx dst 10.0.0.2 self permanent', true],
  ['Deleted 00:00:00:00:00:00 dev k8s-br0-vx dst 10.0.0.2 self permanent', true],
  ['52:54:00:7f:a7:da dev k8s-br0-vx master k8s-br0', false],
  ['Deleted 52:54:00:7f:a7:da dev k8s-br0-vx dst 10.0.0.2 self', false],
  ['52:54:00:7f:a7:da dev vnet0 master k8s-br0', false],
  ['netlink receive error No buffer space available (105)', true],
];

/** Lines of `ip -o monitor`, and whether they may be about a way of packets. */
const ways: [line: string, isChange: boolean][] = [
  ['default via 192.0.2.1 dev eth0 ', true],
  ['Deleted default via 192.0.2.1 dev eth0 ', true],
  ['192.168.0.0/16 dev tun0 proto static ', true],
  ['10.9.0.7 dev tun0 proto static ', true],
  ['unreachable default metric 4278198272 ', true],
  ['blackhole 10.0.0.0/8 proto bird ', true],
  ['local 10.9.0.1 dev tun0 table local proto kernel scope host src 10.9.0.1 ', true],
  ['5270:\tfrom all lookup 52 proto unspec ', true],
  ['5270:\tnot from all iif lan0 lookup 52 proto unspec ', true],
  ['Deleted 5270:\tfrom all lookup 52 proto unspec ', true],
  ['inet all forwarding off ', true],
  ['inet eth0 rp_filter strict ', true],
  ['netlink receive error No buffer space available (105)', true],
  ['inet vnet0 forwarding on rp_filter off mc_forwarding off proxy_neigh off ', false],
  ['inet6 vnet0 forwarding off ', false],
  ['fe80::/64 dev vnet0 proto kernel metric 256 pref medium', false],
  ['broadcast 192.168.100.255 dev virlan-probe table local proto kernel scope link ', false],
  [`4: vnet0: <BROADCAST,MULTICAST,UP> mtu 1500 master k8s-br0 state UP ${ether}`, false],
  ['2: eth0    inet 192.0.2.9/24 scope global dynamic eth0\\       valid_lft 3600sec', false],
];

/** Lines of `ip -o monitor link address route netconf`. */
const links: [line: string, isChange: boolean][] = [
  ['inet all forwarding off ', true],
  ['netlink receive error No buffer space available (105)', true],
  ['inet k8s-br0 forwarding off ', true],
  ['inet eth0 forwarding off ', false],
  ['inet default forwarding off ', false],
  ['inet all forwarding on ', false],
  [`Deleted 3: k8s-br0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default ${ether}`, true],
  [`Deleted 4: br-other: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN group default ${ether}`, false],
  ['Deleted 3: k8s-br0    inet 192.168.100.1/24 scope global k8s-br0\\       valid_lft forever', true],
  ['5: tun0    inet 192.168.100.9/24 scope global tun0\\       valid_lft forever', true],
  ['6: veth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever', false],
  ['Deleted 3: k8s-br0    inet6 fe80::1/64 scope link tentative \\       valid_lft forever', true],
  [`Deleted 4: vnet0: <BROADCAST,MULTICAST,UP> mtu 1500 master k8s-br0 state UP ${ether}`, true],
  [`Deleted 4: veth9@if2: <BROADCAST,UP> mtu 1500 master k8s-br0 state UP ${ether}`, true],
  [`Deleted 4: vnet0: <BROADCAST,MULTICAST,UP> mtu 1500 master k8s-br00 state UP ${ether}`, false],
  [
    `4: vnet0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master k8s-br0 state UP ${ether}`,
    true,
  ],
  [
    `4: vnet0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master k8s-br00 state UP ${ether}`,
    false,
  ],
  [`4: vnet0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP ${ether}`, false],
  ['192.168.0.0/16 dev tun0 proto static ', true],
  ['unreachable 10.0.0.0/8 proto bird ', true],
  ['Deleted 10.9.0.0/24 dev tun0 proto kernel scope link src 10.9.0.1 ', false],
  ['Deleted 192.168.100.0/24 dev k8s-br0 proto kernel scope link src 192.168.100.1 ', true],
  ['local 10.9.0.1 dev tun0 table local proto kernel scope host src 10.9.0.1 ', false],
  ['default via 192.0.2.1 dev eth0 ', true],
  ['Deleted default via 192.0.2.1 dev eth0 ', true],
  ['Deleted 128.0.0.0/1 via 10.8.0.1 dev tun0 ', true],
  ['Deleted 10.9.0.0/24 dev eth0 scope link ', false],
  ['default dev ts0 table 52 scope link ', true],
  ['5270:\tfrom all lookup 52 proto unspec ', true],
  ['5270:\tnot from all iif lan0 lookup 52 proto unspec ', true],
  ['Deleted 5270:\tfrom all lookup 52 proto unspec ', true],
  ['fe80::/64 dev vnet0 proto kernel metric 256 pref medium', false],
];

monitorLines('a line of nft that may be about rules is a change', () => {
  for (const [line, isChange] of rules) {
    assert.equal(isRulesChange(line), isChange, line);
    assert.equal(isRulesOfWayChange(line), isChange, line);
  }
  for (const [line, isChange] of floods) assert.equal(isFloodChange(line), isChange, line);
});

monitorLines('an element of virlan in a set is a change, and none of the way of packets', () => {
  for (const line of [
    'add element bridge virlan-k8s-br0 own_macs { "vnet0" . 52:54:00:c5:f2:a7 }',
    'delete element bridge virlan-k8s-br0 ports { "vnet0" }',
  ])
    assert.deepEqual([isRulesChange(line), isRulesOfWayChange(line)], [true, false], line);
});

monitorLines('an element of another program needs no scan, and a probe, because rules may look it up', () => {
  for (const line of [
    'add element ip crowdsec blacklist { 192.0.2.7 expires 4h }',
    'delete element ip crowdsec blacklist { 192.0.2.7 }',
    'add element inet corp verdicts { 192.168.100.0/24 : drop }',
  ])
    assert.deepEqual([isRulesChange(line), isRulesOfWayChange(line)], [false, true], line);
  const own = 'add element ip virlan_probe __set0 { 22 }';
  assert.deepEqual([isRulesChange(own), isRulesOfWayChange(own)], [false, false]);
});

monitorLines(
  'a link that gains or loses its carrier may be a change of the way, but no tap or bridge of virlan',
  () => {
    const [up, down] = ['<BROADCAST,MULTICAST,UP,LOWER_UP>', '<NO-CARRIER,BROADCAST,MULTICAST,UP>'];
    const lines: [line: string, isChange: boolean][] = [
      [`2: eth0: ${up} mtu 1500 state UP`, false],
      [`2: eth0: ${up} mtu 1400 state UP`, false],
      [`2: eth0: ${down} mtu 1400 state DOWN`, true],
      ['2: eth0: <BROADCAST,MULTICAST> mtu 1400 state DOWN', false],
      [`2: eth0: ${up} mtu 1400 state UP`, true],
      [`Deleted 2: eth0: ${up} mtu 1400 state UP`, true],
      ['7: vnet0: <BROADCAST,MULTICAST> mtu 1500 state DOWN', false],
      [`7: vnet0: ${up} mtu 1500 master k8s-br0 state UP`, false],
      [`7: vnet0: ${down} mtu 1500 master k8s-br0 state DOWN`, false],
      ['Deleted 7: vnet0: <BROADCAST,MULTICAST> mtu 1500 state DOWN', false],
      [`3: k8s-br0: ${up} mtu 1500 state UP`, false],
      [`3: k8s-br0: ${down} mtu 1500 state DOWN`, false],
      [`9: virlan-probe@if8: ${up} mtu 1500 state UP`, false],
      [`5: wg0: ${up} mtu 1420 state UNKNOWN`, true],
    ];
    const states = new LinkStates(['eth0']);
    for (const [line, isChange] of lines) assert.equal(states.isChange(line, ['k8s-br0']), isChange, line);
  },
);

monitorLines('a line of ip that may be about a bridge, forwarding or a subnet is a change', () => {
  for (const [line, isChange] of links)
    assert.equal(new LinkChanges().isChange(line, ['k8s-br0']), isChange, line);
});

monitorLines('a line of ip that may be about a way of packets is told from those about links', () => {
  for (const [line, isChange] of ways) assert.equal(isWayChange(line), isChange, line);
});

monitorLines('with several bridges, changes of each are recognised', () => {
  const bridges = ['lab', 'k8s-br0'];
  const isChange = (line: string) => new LinkChanges().isChange(line, bridges);
  for (const bridge of bridges) {
    assert(
      isChange(`Deleted 192.168.100.0/24 dev ${bridge} proto kernel scope link src 192.168.100.1 `),
      bridge,
    );
    assert(
      isChange(`Deleted 4: vnet0: <BROADCAST,MULTICAST,UP> mtu 1500 master ${bridge} state UP ${ether}`),
      bridge,
    );
  }
});

monitorLines('a port is a change when it is new, goes down or up, or has another MTU, in either form', () => {
  const seen = new LinkChanges();
  const isChange = (flags: string, mtu: number, rest: string) =>
    seen.isChange(`4: vnet0: <${flags}> mtu ${mtu} ${rest} \\    link/ether fe:54:00:00:00:01`, ['k8s-br0']);
  const link = 'qdisc noqueue master k8s-br0 state UP group default qlen 1000';
  const port = 'master k8s-br0 state forwarding';
  assert.equal(isChange('BROADCAST,MULTICAST,UP,LOWER_UP', 1500, link), true);
  assert.equal(isChange('BROADCAST,MULTICAST,UP,LOWER_UP', 1500, port), false);
  assert.equal(isChange('NO-CARRIER,BROADCAST,MULTICAST,UP', 1500, link), false);
  assert.equal(isChange('BROADCAST,MULTICAST', 1500, port), true);
  assert.equal(isChange('BROADCAST,MULTICAST', 1500, link), false);
  assert.equal(isChange('BROADCAST,MULTICAST,UP', 1500, link), true);
  assert.equal(isChange('BROADCAST,MULTICAST,UP', 1400, link), true);
});

monitorLines(
  'flags that follow from the ports of a bridge are not a change; flags and MTU that were set are',
  () => {
    const seen = new LinkChanges();
    const isBridgeChange = (flags: string, mtu: number, state: string) =>
      seen.isChange(`3: k8s-br0: <${flags}> mtu ${mtu} qdisc noqueue state ${state} group default ${ether}`, [
        'k8s-br0',
      ]);
    assert.equal(isBridgeChange('NO-CARRIER,BROADCAST,MULTICAST,UP', 1500, 'DOWN'), true);
    assert.equal(isBridgeChange('BROADCAST,MULTICAST,UP,LOWER_UP', 1500, 'UP'), false);
    assert.equal(isBridgeChange('NO-CARRIER,BROADCAST,MULTICAST,UP', 1500, 'DOWN'), false);
    assert.equal(isBridgeChange('NO-CARRIER,BROADCAST,MULTICAST,UP', 1400, 'DOWN'), true);
    assert.equal(isBridgeChange('BROADCAST,MULTICAST', 1400, 'DOWN'), true);
  },
);

monitorLines('no text makes the parsers throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 5000 }), text => {
      isRulesChange(text);
      isWayChange(text);
      new LinkStates([]).isChange(text, ['k8s-br0']);
      new LinkChanges().isChange(text, ['k8s-br0']);
    }),
  );
});

monitorLines('lines are the same for any size of chunks', () => {
  fc.assert(
    fc.property(
      fc.array(fc.stringMatching(/^[ -~]{0,20}$/)),
      fc.integer({ min: 1, max: 7 }),
      (lines, size) => {
        const whole = Buffer.from(lines.map(line => `${line}\n`).join(''));
        const splitter = new Lines(20);
        const out: string[] = [];
        for (let at = 0; at < whole.length; at += size)
          out.push(...splitter.push(whole.subarray(at, at + size)));
        assert.deepEqual(out, lines);
      },
    ),
  );
});

monitorLines('of a line that is too long only the beginning is kept', () => {
  const splitter = new Lines(10);
  for (let piece = 0; piece < 100; piece++) assert.deepEqual(splitter.push(Buffer.alloc(65536, 'a')), []);
  assert.deepEqual(splitter.push(Buffer.from('b\nnext\n')), ['aaaaaaaaaa', 'next']);
});

monitorLines(
  'a port that is to handle frames to bridges again is noticed, and one that no longer is is not',
  () => {
    let mask = 0;
    const ports = new PortChanges(
      () => mask,
      () => false,
    );
    const line =
      '4: vnet0: <BROADCAST,UP> mtu 1500 master k8s-br0 state forwarding priority 32 cost 2 \\    hairpin off ';
    const seen = [0, 0, 0xfffd, 0xfffd, 8, 8, 0xfffd, 0].map(each => {
      mask = each;
      return ports.isChange(line, ['k8s-br0']);
    });
    assert.deepEqual(seen, [true, false, false, false, true, false, false, true]);
  },
);

monitorLines('a port whose options change is noticed, once for each change', () => {
  const ports = new PortChanges(
    () => 0,
    () => false,
  );
  const line = (state: string, isolated: string, bridge = 'k8s-br0') =>
    `4: vnet0: <BROADCAST,UP> mtu 1500 master ${bridge} state ${state} priority 32 cost 2 \\    hairpin off guard off isolated ${isolated} locked off `;
  const seen = [
    line('blocking', 'off'),
    line('forwarding', 'off'),
    line('forwarding', 'on'),
    line('forwarding', 'on'),
    line('forwarding', 'off'),
    line('forwarding', 'on', 'docker0'),
    '4: vnet0: <BROADCAST,UP> mtu 1500 master k8s-br0 ',
    line('forwarding', 'off'),
    `Deleted ${line('forwarding', 'off')}`,
    line('blocking', 'off'),
    '2: k8s-br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 ',
    'netlink receive error No buffer space available (105)',
  ];
  assert.deepEqual(
    seen.map(text => ports.isChange(text, ['k8s-br0'])),
    [true, false, true, false, true, false, false, false, false, true, false, true],
  );
});

monitorLines(
  'each line about a bridge that keeps VLANs apart, or its ports, may be about their VLANs',
  () => {
    const ports = new PortChanges(
      () => 0,
      bridge => bridge === 'k8s-br0',
    );
    const port = '4: vnet0: <BROADCAST,UP> mtu 1500 master k8s-br0 state forwarding \\    hairpin off ';
    const seen = [port, port, port.replace('k8s-br0', 'br1'), port.replace('k8s-br0', 'br1')];
    const self = '3: k8s-br0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master k8s-br0 ';
    assert.deepEqual(
      [...seen, self, self.replaceAll('k8s-br0', 'br1'), `Deleted ${port}`].map(line =>
        ports.isChange(line, ['k8s-br0', 'br1']),
      ),
      [true, true, true, false, true, false, false],
    );
  },
);

monitorLines.run();
