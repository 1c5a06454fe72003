// `virlan doctor NAME` explains a forward that does not answer, and its commands repair it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { type RunningMachine, startGuest } from './forwarding.ts';
import {
  configure,
  define,
  dhcp,
  domainXml,
  host,
  installVirlan,
  internet,
  internetAddress,
  type Linked,
  nameServer,
  probe,
  run,
  seenAs,
  serve,
  startLibvirtd,
  virlan,
} from './host.ts';
import { clearLegacy } from './iptables-flavours.ts';
import { resetHost } from './reset-host.ts';
import { type Check, up } from './virlan-commands.ts';

const doctor = suite('doctor of forwards');
const uplink = '203.0.113.1';
const through = { proto: 'tcp', to: uplink, port: 8443 } as const;

async function checkOf(machine: string, check: string): Promise<Check> {
  const { stdout } = await virlan('doctor', machine, '--json');
  const found: Check | undefined = JSON.parse(stdout).checks.find((each: Check) => each.check === check);
  return found ?? assert.fail(stdout);
}

/**
 * Adds a rule that keeps clients of the forward away. Returns the doctor's check, and the problems with its code in the
 * status.
 */
async function checkWith(add: string): Promise<Check & { readonly faults: unknown[] }> {
  assert.equal((await seenAs(outside, through)).address, '203.0.113.2');
  await shell(add);
  await assert.rejects(seenAs(outside, { ...through, seconds: 1 }), add);
  const check = await checkOf('web', 'forwards');
  const [network] = JSON.parse((await virlan('status', '--json')).stdout).networks;
  return { ...check, faults: network.faults.filter(({ code }: { code: string }) => code === check.code) };
}

function shell(command: string) {
  return execa('sh', ['-c', command], { env: { EDITOR: 'true' } });
}

let outside: Linked;
let web: RunningMachine;

doctor.before.each(async () => {
  await installVirlan();
  await configure('[network.k8s-br0]\nstp = no\nfirewall = nftables\n');
  await up();
  outside = await internet();
  await nameServer(outside, internetAddress);
  web = await startGuest('web', { digit: 'a', forwards: ['port="8443" to="443"'] });
});

doctor('nobody listens in the machine, or the machine has not asked for its address', async () => {
  const lost = await checkOf('web', 'forwards');
  assert.deepEqual([lost.code, lost.state], ['forward-without-lease', 'fail']);
  await dhcp(web);
  const { code, seen } = await checkOf('web', 'forwards');
  assert.equal(code, 'forward-unanswered');
  assert.match(
    seen,
    /^no program of the machine listens on 192\.168\.100\.\d+:443, where tcp\/8443:443 leads$/,
  );
  await serve(web, { proto: 'tcp', port: 443 });
  const served = await checkOf('web', 'forwards');
  assert.deepEqual([served.code, served.state], ['forwards-active', 'ok']);
});

doctor('a port that a program of the host or another machine has', async () => {
  const server = await serve(host, { proto: 'tcp', port: 9000 });
  await startGuest('db', { digit: 'b', forwards: ['port="9000"'] });
  const busy = await checkOf('db', 'forwards');
  assert.deepEqual([busy.code, busy.state], ['forward-inactive', 'fail']);
  assert.match((await shell(busy.fix?.command ?? '')).stdout, /0\.0\.0\.0:9000 .*"python3"/);
  await server.stop();
  await startGuest('lab', { digit: 'c', forwards: ['port="8443"'] });
  const taken = await checkOf('lab', 'forwards');
  assert.match((await shell(taken.fix?.command ?? '')).stdout, /^tcp\/8443:443 {2}active$/m);
});

doctor('an address that the host does not have, and a loopback address', async () => {
  const absent = '203.0.113.77';
  const forwards = [`port="9000" address="${absent}"`];
  const db = await startGuest('db', { digit: 'b', forwards });
  await dhcp(db);
  await serve(db, { proto: 'tcp', port: 9000 });
  const { code, state, seen, fix } = await checkOf('db', 'forwards');
  assert.deepEqual([code, state], ['forward-address-absent', 'warn']);
  assert(seen.includes(absent), seen);
  assert.match((await shell(fix?.command ?? '')).stdout, /inet 203\.0\.113\.1\/24/);
  await shell(`ip address add ${absent}/32 dev uplink`);
  assert.equal((await seenAs(outside, { proto: 'tcp', to: absent, port: 9000 })).address, '203.0.113.2');
  assert.equal((await checkOf('db', 'forwards')).code, 'forwards-active');
  await shell(`ip address delete ${absent}/32 dev uplink`);
  // The host answers for all its addresses on each link, also for those of a bridge without ports, which has no carrier.
  await shell(`ip link add idle0 type bridge; ip address add ${absent}/32 dev idle0; ip link set idle0 up`);
  assert.equal((await seenAs(outside, { proto: 'tcp', to: absent, port: 9000 })).address, '203.0.113.2');
  assert.equal((await checkOf('db', 'forwards')).code, 'forwards-active');
  await startGuest('lab', { digit: 'c', forwards: ['port="9001" address="127.0.0.1"'] });
  const loopback = await checkOf('lab', 'forwards');
  assert.deepEqual([loopback.code, loopback.state], ['forward-inactive', 'fail']);
  assert.match(loopback.seen, /localhost = yes/);
});

doctor('a chain of another program that drops connections from outside', async () => {
  await dhcp(web);
  await serve(web, { proto: 'tcp', port: 443 });
  for (const [add, name] of [
    ['iptables -P FORWARD DROP; iptables -A FORWARD -i k8s-br0 -j ACCEPT', 'ip filter FORWARD'],
    [
      `nft 'table inet corp { chain gate { type filter hook forward priority 5; policy drop; iifname "k8s-br0" accept; }; }'`,
      'inet corp gate',
    ],
  ] as const) {
    assert.equal((await seenAs(outside, through)).address, '203.0.113.2');
    await shell(add);
    assert.equal(await probe(outside, through), 'timeout');
    const { code, state, seen, fix } = await checkOf('web', 'forwards');
    assert.deepEqual([code, state, fix?.mends], ['forwards-meet-chain', 'warn', true]);
    assert.match(seen, new RegExp(name));
    await shell(fix?.command ?? '');
  }
  assert.equal((await seenAs(outside, through)).address, '203.0.113.2');
  assert.equal((await checkOf('web', 'forwards')).code, 'forwards-active');
});

doctor('a rule of another program that drops connections from outside, wherever it is', async () => {
  await dhcp(web);
  await serve(web, { proto: 'tcp', port: 443 });
  for (const [add, place] of [
    [
      `nft 'table inet corp { chain gate { type filter hook forward priority 5; iifname "uplink" tcp dport { 80, 443 } drop; }; }'`,
      'chain gate of table inet corp: iifname "uplink" tcp dport { 80, 443 } drop',
    ],
    [
      'iptables -N corp; iptables -I FORWARD -j corp; iptables -A corp -p tcp --syn -o k8s-br0 -j REJECT',
      'chain corp of table ip filter: -o k8s-br0 -p tcp',
    ],
    [
      'iptables -t raw -A PREROUTING -i uplink -p tcp --dport 8443 -j DROP',
      'chain PREROUTING of table ip raw',
    ],
    [
      'iptables -t mangle -A PREROUTING -i k8s-br0 -p tcp --sport 443 -j DROP',
      'chain PREROUTING of table ip mangle',
    ],
    [
      'iptables -t mangle -A POSTROUTING -o k8s-br0 -p tcp --dport 443 -j DROP',
      'chain POSTROUTING of table ip mangle',
    ],
    [
      `nft 'table inet late { chain pre { type filter hook prerouting priority -50; tcp dport 443 drop; }; }'`,
      'chain pre of table inet late',
    ],
    [
      `nft 'table ip last { chain post { type filter hook postrouting priority 150; oifname "uplink" tcp sport 8443 drop; }; }'`,
      'chain post of table ip last',
    ],
    [
      `nft 'table ip nat1 { chain post { type nat hook postrouting priority 90; oifname "k8s-br0" tcp dport 443 drop; }; }'`,
      'chain post of table ip nat1',
    ],
    [
      `nft 'table netdev dev { chain in { type filter hook ingress device "uplink" priority 0; tcp dport 8443 drop; }; }'`,
      'chain in of table netdev dev',
    ],
    ['iptables -t mangle -A FORWARD -p tcp --sport 443 -j DROP', 'chain FORWARD of table ip mangle'],
    // No program takes these.
    [
      'iptables -t mangle -A FORWARD -o k8s-br0 -j NFQUEUE --queue-num 7',
      'chain FORWARD of table ip mangle: -o k8s-br0 -j NFQUEUE --queue-num 7',
    ],
    [
      'iptables-legacy -A FORWARD ! -s 10.0.0.0/8 -o k8s-br0 -j DROP',
      'chain FORWARD of table iptables-legacy filter: ! -s 10.0.0.0/8 -o k8s-br0 -j DROP',
    ],
  ] as const) {
    const { code, state, seen, fix, faults } = await checkWith(add);
    assert.deepEqual([code, state, fix?.mends], ['forward-dropped', 'fail', true], `${add}: ${seen}`);
    assert(seen.includes(place), seen);
    assert.deepEqual(faults, [{ code, text: `${seen}: ${fix?.command}`, fix }]);
    await shell(fix?.command ?? '');
    assert.equal((await checkOf('web', 'forwards')).code, 'forwards-active');
  }
  assert.equal((await seenAs(outside, through)).address, '203.0.113.2');
  await clearLegacy();
});

doctor('a rule of another program that leads the port elsewhere, as Docker does', async () => {
  await dhcp(web);
  await serve(web, { proto: 'tcp', port: 443 });
  const toOther = 'dnat to 198.51.100.99:443';
  for (const [add, place, remove] of [
    [
      `nft 'table ip corp { chain pre { type nat hook prerouting priority -110; tcp dport { 80, 8443 } ${toOther}; }; }'`,
      `chain pre of table ip corp: tcp dport { 80, 8443 } ${toOther}`,
      'nft delete table ip corp',
    ],
    [
      `iptables -t nat -N DOCKER; iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
        iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8443 -j DNAT --to-destination 198.51.100.99:443`,
      'chain DOCKER of table ip nat: ! -i docker0 -p tcp',
      'iptables -t nat -F; iptables -t nat -X DOCKER',
    ],
  ] as const) {
    const { code, state, seen, fix, faults } = await checkWith(add);
    assert.deepEqual([code, state, fix?.mends], ['forward-taken', 'warn', false], `${add}: ${seen}`);
    assert(seen.includes(place), seen);
    assert.deepEqual(faults, [{ code, text: seen, fix }]);
    assert.match((await shell(fix?.command ?? '')).stdout, /198\.51\.100\.99/);
    await shell(remove);
  }
  assert.equal((await seenAs(outside, through)).address, '203.0.113.2');
});

doctor('it ends where the next hop answers pings of the host, and nothing else', async () => {
  // The kernel also limits the rate of the errors with which a host answers datagrams.
  await run(
    outside,
    'nft',
    'table ip quiet { chain in { type filter hook input priority 0; udp dport 33434 drop; }; }',
  );
  await shell(
    `nft 'table inet corp { chain gate { type filter hook forward priority 5; oifname "k8s-br0" drop; }; }'`,
  );
  const { exitCode, timedOut, stdout } = await execa('/usr/sbin/virlan', ['doctor', '--json'], {
    reject: false,
    timeout: 60_000,
  });
  assert.deepEqual({ exitCode, timedOut }, { exitCode: 1, timedOut: false }, stdout);
  const { state } = JSON.parse(stdout).checks.find(({ check }: Check) => check === 'probe-return');
  assert.equal(state, 'fail', stdout);
});

doctor('a link whose reverse path filter drops clients from far away', async () => {
  await dhcp(web);
  await serve(web, { proto: 'tcp', port: 443 });
  await shell(`ip link add lan2 type veth peer name eth1 netns internet
    ip address add 198.51.100.1/24 dev lan2; ip link set lan2 up`);
  await run(outside, 'ip', 'address', 'add', '10.77.0.5/32', 'dev', 'lo');
  await run(outside, 'ip', 'link', 'set', 'eth1', 'up');
  await run(outside, 'ip', 'address', 'add', '198.51.100.2/24', 'dev', 'eth1');
  await run(outside, 'ip', 'route', 'replace', '198.51.100.1', 'dev', 'eth1', 'src', '10.77.0.5');
  await run(outside, 'sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.eth0.rp_filter=0');
  // A router asks for the host with its own address.
  const { address } = JSON.parse((await execa('ip', ['-json', 'link', 'show', 'lan2'])).stdout)[0];
  await run(outside, 'ip', 'neigh', 'replace', '198.51.100.1', 'lladdr', address, 'dev', 'eth1');
  const fromAfar = { ...through, to: '198.51.100.1' };
  writeFileSync('/proc/sys/net/ipv4/conf/all/rp_filter', '0');
  writeFileSync('/proc/sys/net/ipv4/conf/lan2/rp_filter', '1');
  assert.equal(await probe(outside, fromAfar), 'timeout');
  const { code, state, seen, fix } = await checkOf('web', 'forwards');
  assert.deepEqual([code, state, fix?.mends], ['forwards-meet-reverse-path', 'warn', true]);
  assert.match(seen, /^active; lan2 has a strict reverse path filter/);
  await shell(fix?.command ?? '');
  assert.equal((await seenAs(outside, fromAfar)).address, '10.77.0.5');
  assert.equal((await checkOf('web', 'forwards')).code, 'forwards-active');
});

doctor('the commands that show more about a machine and its forwards work', async () => {
  await resetHost();
  await configure('[network.k8s-br0]\nstp = no\n');
  await startLibvirtd();
  await up();
  const metadata =
    '<virlan:machine xmlns:virlan="urn:virlan:machine:1"><virlan:forward port="0"/></virlan:machine>';
  await define(domainXml({ name: 'plain', nics: [{ type: 'bridge', source: 'k8s-br0' }], metadata }));
  await execa('virsh', ['start', 'plain']);
  const invalid = await checkOf('plain', 'forwards');
  assert.equal(invalid.code, 'forward-inactive');
  await shell(invalid.fix?.command ?? '');
  const machine = '<machine><forward port="2200"/></machine>';
  await shell(
    `virsh metadata plain --uri urn:virlan:machine:1 --key virlan --live --config --set '${machine}'`,
  );
  await up();
  const { code, fix } = await checkOf('plain', 'forwards');
  assert.match(code, /^forward-(without-lease|unanswered)$/);
  // It needs a terminal, and goes on until it is told to end.
  const console = `timeout 5 script -qec '${fix?.command}' /dev/null </dev/zero | grep -m 1 'Connected to domain'`;
  assert.match((await shell(console)).stdout, /plain/);
});

doctor.after.each(async () => {
  for (const name of ['web', 'db', 'lab', 'internet'])
    await execa('ip', ['netns', 'delete', name], { reject: false });
  await resetHost();
});

doctor.run();
