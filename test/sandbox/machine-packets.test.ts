// Packets of one machine, or of a kind that no probe sends, that rules of other programs take: each is lost in truth, is
// named by the doctor, and passes once its command is typed.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import {
  configure,
  dhcp,
  domainXml,
  type Guest,
  guest,
  host,
  installVirlan,
  internet,
  internetAddress,
  nameServer,
  probe,
  serve,
  virlan,
} from './host.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { up } from './virlan-commands.ts';

const packets = suite('packets of a machine');

let [web, db]: Guest[] = [];
let address = '';

/** The packets that a fault loses. */
type Kind = 'tcp' | 'dns' | 'dhcp' | 'from-host' | 'names' | 'forward' | 'machines';

interface Fault {
  readonly title: string;
  /** A shell script; `$WEB` is the machine's address. */
  readonly cause: string;
  readonly undo: string;
  readonly lost: Kind;
  /** The machine that the doctor is asked about, if it is not web. */
  readonly about?: string;
  readonly check: string;
  readonly code: string;
  readonly seen: RegExp;
  /** `repairs`: the command lets the packets pass. */
  readonly command: 'repairs' | RegExp;
}

const mac = '52:54:00:00:00:0a';

function ofMachine(fault: Pick<Fault, 'title' | 'cause' | 'undo' | 'lost' | 'seen'>): Fault {
  return { ...fault, check: 'packets', code: 'machine-dropped', command: 'repairs' };
}

const faults: Fault[] = [
  ofMachine({
    title: 'a rule of iptables about its address',
    cause: 'iptables -I FORWARD -s $WEB -j DROP',
    undo: 'iptables -F FORWARD',
    lost: 'tcp',
    seen: /^TCP connections of "web" to the outside are dropped by a rule of ip filter FORWARD: -s /,
  }),
  ofMachine({
    title: 'a rule of iptables-legacy about its address',
    cause: 'iptables-legacy -I FORWARD -d $WEB -j DROP',
    undo: 'iptables-legacy -F FORWARD',
    lost: 'tcp',
    seen: /^answers of the outside to TCP connections of "web" are dropped by a rule of iptables-legacy filter FORWARD/,
  }),
  ofMachine({
    title: 'a set of addresses, as fail2ban has it',
    cause: `nft 'table inet f2b { set banned { type ipv4_addr; elements = { '$WEB' }; };
      chain in { type filter hook input priority -1; ip saddr @banned drop; }; }'`,
    undo: 'nft delete table inet f2b',
    lost: 'dns',
    seen: /^DNS questions of "web", or their answers, are dropped by a rule of inet f2b in: ip saddr @banned drop$/,
  }),
  ofMachine({
    title: 'a rule about its MAC',
    cause: `iptables -I INPUT -m mac --mac-source ${mac} -j DROP`,
    undo: `iptables -D INPUT -m mac --mac-source ${mac} -j DROP; iptables -F INPUT; virlan up`,
    lost: 'dhcp',
    seen: /^DHCP requests of "web", or their answers, are dropped by a rule of ip filter INPUT: -m mac /,
  }),
  ofMachine({
    title: 'a chain at the ingress of its port',
    cause: `nft 'table netdev corp { chain in { type filter hook ingress device veth-web priority 0; udp dport 67 drop; }; }'`,
    undo: 'nft delete table netdev corp',
    lost: 'dhcp',
    seen: /^DHCP requests of "web", .* by a rule of netdev corp in: udp dport 67 drop$/,
  }),
  ofMachine({
    title: 'a rule of the family bridge about its port',
    cause: `nft 'table bridge corp { chain in { type filter hook input priority 0; iifname veth-web udp dport 53 drop; }; }'`,
    undo: 'nft delete table bridge corp',
    lost: 'dns',
    seen: /^DNS questions of "web", .* by a rule of bridge corp in: iifname "veth-web" udp dport 53 drop$/,
  }),
  {
    title: 'a policy of IPsec about its address',
    cause: 'ip xfrm policy add src $WEB dst 0.0.0.0/0 dir fwd action block priority 10',
    undo: 'ip xfrm policy flush',
    lost: 'tcp',
    check: 'packets',
    code: 'machine-taken',
    seen: /^packets of "web" to the outside are taken by the IPsec policy/,
    command: 'repairs',
  },
  {
    title: 'a static entry of the bridge for its MAC',
    cause: `bridge fdb replace ${mac} dev veth-db master static sticky`,
    undo: 'true',
    lost: 'from-host',
    check: 'port',
    code: 'mac-behind-other-port',
    seen: /^a static entry of the bridge has 52:54:00:00:00:0a behind veth-db/,
    command: 'repairs',
  },
  {
    title: 'a rule about all TCP, which no probe sends',
    cause: 'iptables -I FORWARD -p tcp -j DROP',
    undo: 'iptables -F FORWARD',
    lost: 'tcp',
    check: 'probe-forward',
    code: 'packet-dropped',
    seen: /^a TCP connection to the outside is dropped by a rule of ip filter FORWARD: -p tcp -j DROP$/,
    command: 'repairs',
  },
  {
    title: 'a rule on a host whose uplink has no next hop to ask',
    cause: `ip route replace default dev uplink scope link metric 1; ip route delete default via ${internetAddress}
      iptables -A FORWARD -i k8s-br0 -j REJECT`,
    undo: `iptables -F FORWARD; ip route add default via ${internetAddress}; ip route delete default dev uplink metric 1`,
    lost: 'tcp',
    check: 'probe-forward',
    code: 'packet-dropped',
    seen: /^a TCP connection to the outside is dropped by a rule of ip filter FORWARD: -i k8s-br0 -j REJECT/,
    command: 'repairs',
  },
  {
    title: 'a rule about the questions of dnsmasq to name servers outside',
    cause: 'iptables -I OUTPUT -o uplink -p udp --dport 53 -m owner --uid-owner dnsmasq -j DROP',
    undo: 'iptables -F OUTPUT',
    lost: 'names',
    check: 'upstream-dns',
    code: 'upstream-dropped',
    seen: /is dropped by a rule of ip filter OUTPUT: /,
    command: /--uid-owner/,
  },
  {
    title: 'a rule that keeps the port of its forward from being tracked',
    cause: 'iptables -t raw -I PREROUTING -p tcp --dport 8080 -j CT --notrack',
    undo: 'iptables -t raw -F PREROUTING',
    lost: 'forward',
    about: 'db',
    check: 'forwards',
    code: 'forward-taken',
    seen: /^connections to the forward tcp\/8080:7000 are not tracked, .* table ip raw: /,
    command: /-j CT --notrack/,
  },
];

async function shell(script: string) {
  return execa('sh', ['-euc', script], { env: { WEB: address } });
}

/** Returns whether packets of a kind arrive. */
async function pass(kind: Kind): Promise<boolean> {
  const seconds = 0.7;
  const isOpen = async (...[from, target]: Parameters<typeof probe>) =>
    (await probe(from, target).catch(() => 'error')) === 'open';
  if (web === undefined || db === undefined) return assert.fail();
  switch (kind) {
    case 'tcp':
      return isOpen(web, { proto: 'tcp', to: internetAddress, port: 80, seconds });
    case 'dns':
      return isOpen(web, { proto: 'udp', to: '192.168.100.1', port: 53, seconds });
    case 'from-host':
      return isOpen(host, { proto: 'tcp', to: address, port: 7000, seconds });
    case 'machines':
      return isOpen(db, { proto: 'tcp', to: address, port: 7000, seconds });
    case 'forward':
      return isOpen({ name: 'internet' }, { proto: 'tcp', to: '203.0.113.1', port: 8080, seconds });
    case 'dhcp': {
      const once = ['udhcpc', '-f', '-n', '-q', '-t', '2', '-T', '1', '-i', 'eth0', '-s', '/bin/true'];
      const asked = await execa('ip', ['netns', 'exec', 'web', 'busybox', ...once], { reject: false });
      return asked.exitCode === 0;
    }
    case 'names': {
      const lookup = ['nslookup', '-type=a', `n${Date.now()}.example`, '192.168.100.1'];
      const asked = await execa('ip', ['netns', 'exec', 'web', 'timeout', '3', 'busybox', ...lookup], {
        reject: false,
      });
      return !/timed out|SERVFAIL|REFUSED/.test(asked.stdout) && !asked.timedOut && asked.exitCode !== 124;
    }
  }
}

function runningMachine(name: string, ownMac: string, uuid: string): void {
  const xml = domainXml({ name, uuid, nics: [{ type: 'bridge', source: 'k8s-br0', mac: ownMac }] });
  mkdirSync('/run/libvirt/qemu', { recursive: true });
  writeFileSync(`/etc/libvirt/qemu/${name}.xml`, xml);
  const running = xml.replace('<model', `<target dev='veth-${name}'/><model`);
  writeFileSync(`/run/libvirt/qemu/${name}.xml`, `<domstatus state='running'>${running}</domstatus>`);
}

async function machine(name: string, ownMac: string, uuid: string): Promise<[Guest, string]> {
  await prepare({ name, uuid, nics: [{ type: 'bridge', source: 'k8s-br0', mac: ownMac }] });
  runningMachine(name, ownMac, uuid);
  const added = await guest(name, { mac: ownMac });
  return [added, await dhcp(added)];
}

packets.before(async () => {
  await installVirlan();
  await configure(
    '[network.k8s-br0]\nstp = no\nnames = no\nfirewall = nftables\n[machine.db]\nforward = tcp/8080:7000\n',
  );
  await up();
  const outside = await internet();
  await nameServer(outside, internetAddress);
  [web, address] = await machine('web', mac, '00000000-0000-4000-8000-00000000000a');
  [db] = await machine('db', '52:54:00:00:00:0b', '00000000-0000-4000-8000-00000000000b');
  await up();
  await Promise.all([
    serve(outside, { proto: 'tcp', port: 80 }),
    serve(web, { proto: 'tcp', port: 7000 }),
    serve(db, { proto: 'tcp', port: 7000 }),
  ]);
});

packets('without a fault, all packets pass and all is well', async () => {
  for (const kind of ['tcp', 'dns', 'dhcp', 'from-host', 'names', 'forward', 'machines'] as const)
    assert(await pass(kind), kind);
  const { explanation, checks } = JSON.parse((await virlan('doctor', 'web', '--json')).stdout);
  assert.equal(explanation, null, JSON.stringify(explanation));
  assert(checks.some(({ code }: { code: string }) => code === 'nothing-in-the-way'));
});

packets('the doctor lists all rules of nft and of iptables once, be there ever so many', async () => {
  const listings = { nft: '--json list ruleset', 'iptables-save': '' };
  for (const program of Object.keys(listings))
    stubProgram(program, `echo "$*" >>/tmp/${program}.calls; exec "$original" "$@"`);
  assert.equal((await virlan('doctor', 'web')).exitCode, 0);
  restorePrograms();
  for (const [program, wanted] of Object.entries(listings)) {
    const calls = readFileSync(`/tmp/${program}.calls`, 'utf8').trimEnd().split('\n');
    assert.equal(calls.filter(args => args === wanted).length, 1, calls.join('\n'));
  }
});

for (const { title, cause, undo, lost, about = 'web', check, code, seen, command } of faults)
  packets(
    `${title}: named, with a command that ${command === 'repairs' ? 'works' : 'shows it'}`,
    async () => {
      await shell(cause);
      try {
        assert.equal(await pass(lost), false);
        const { explanation } = JSON.parse((await virlan('doctor', about, '--json')).stdout);
        assert.deepEqual([explanation?.check, explanation?.code], [check, code], JSON.stringify(explanation));
        assert.match(explanation.seen, seen);
        assert.equal(explanation.fix.mends, command === 'repairs');
        const { stdout } = await shell(explanation.fix.command);
        if (command === 'repairs') assert(await pass(lost), explanation.fix.command);
        else assert.match(stdout, command);
      } finally {
        await shell(undo);
      }
      assert(await pass(lost), 'undone');
    },
  );

packets('a rule of IPv4 that frames from machine to machine meet by br_netfilter is named', async () => {
  await shell('ip link set k8s-br0 type bridge nf_call_iptables 1');
  await shell('iptables -I FORWARD -m physdev --physdev-is-bridged -j DROP');
  assert.equal(await pass('machines'), false);
  const { checks } = JSON.parse((await virlan('doctor', 'web', '--json')).stdout);
  const found = checks.find((each: { check: string }) => each.check === 'foreign');
  assert.equal(found.code, 'frames-may-be-dropped', found.seen);
  assert.match((await shell(found.fix.command)).stdout, /--physdev-is-bridged/);
  await shell('iptables -F FORWARD; ip link set k8s-br0 type bridge nf_call_iptables 0');
  assert(await pass('machines'));
});

packets.run();
