// An etcd of three members with TLS and passwords, on the underlay of a cluster's hosts.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { addresses, type ClusterHost, plug } from '../sandbox/cluster-hosts.ts';
import { within } from '../sandbox/namespaces.ts';
import { until } from '../sandbox/until.ts';
import { checkout } from '../sandbox/virlan.ts';

/** The releases that setup.sh has unpacked: those of Debian 12 and 13. */
export type EtcdRelease = '3.4' | '3.5';

/** The programs of 3.4. */
export const programs = programsOf('3.4');

function programsOf(release: EtcdRelease): string {
  return `${checkout}/build/etcd-${release}/usr/bin`;
}

const directory = '/run/etcd';

/** The addresses of the members. */
export const memberAddresses = ['10.0.0.11', '10.0.0.12', '10.0.0.13'] as const;

export const password = 'a "secret" \\ password';

const makeCertificates = `
set -e
cd ${directory}
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
for ca in ca other-ca; do
  openssl req -x509 $key -keyout $ca.key -out $ca.pem -days 2 -subj /CN=$ca 2>/dev/null
done
openssl req $key -keyout etcd.key -out etcd.csr -subj /CN=etcd 2>/dev/null
printf 'subjectAltName=IP:${memberAddresses.join(',IP:')},IP:127.0.0.1\\n' > extensions
openssl x509 -req -in etcd.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out etcd.pem 2>/dev/null
`;

const members = new Map<number, ChildProcess>();

/** Starts all members, with a user virlan. Call it once, after the underlay was made. */
export async function startEtcd(): Promise<void> {
  mkdirSync(directory, { recursive: true });
  await execa('sh', ['-c', makeCertificates]);
  for (const [index, address] of memberAddresses.entries()) {
    const name = `etcd${index}`;
    await execa('ip', ['netns', 'add', name]);
    await execa('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    await plug({ name }, address);
    startMember(index);
  }
  await until(async () => (await execa(...ctl('endpoint', 'health'), { reject: false })).exitCode === 0, 30);
  for (const args of [
    ['user', 'add', `root:${password}`],
    ['user', 'grant-role', 'root', 'root'],
    ['user', 'add', `virlan:${password}`],
    ['role', 'add', 'virlan'],
    ['role', 'grant-permission', '--prefix=true', 'virlan', 'readwrite', '/virlan/'],
    ['user', 'grant-role', 'virlan', 'virlan'],
    ['auth', 'enable'],
  ])
    await execa(...ctl(...args));
}

/** Starts a member again, or for the first time. */
export function startMember(index: number, release: EtcdRelease = '3.4'): void {
  const address = memberAddresses[index];
  const cluster = memberAddresses.map((each, number) => `m${number}=http://${each}:2380`).join(',');
  const args = [
    ...[
      '--name',
      `m${index}`,
      '--data-dir',
      `${directory}/m${index}`,
      '--logger',
      'zap',
      '--log-level',
      'error',
    ],
    ...[
      '--listen-client-urls',
      `https://${address}:2379`,
      '--advertise-client-urls',
      `https://${address}:2379`,
    ],
    ...[
      '--listen-peer-urls',
      `http://${address}:2380`,
      '--initial-advertise-peer-urls',
      `http://${address}:2380`,
    ],
    ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
    ...['--cert-file', `${directory}/etcd.pem`, '--key-file', `${directory}/etcd.key`],
  ];
  members.set(
    index,
    spawn(...within({ name: `etcd${index}` }, `${programsOf(release)}/etcd`, args), { stdio: 'ignore' }),
  );
}

/** Kills a member. */
export async function killMember(index: number): Promise<void> {
  const member = members.get(index);
  if (member === undefined) throw new Error(`member ${index} does not run`);
  const ended = once(member, 'exit');
  member.kill('SIGKILL');
  await ended;
  members.delete(index);
}

/** Stops a member, or lets it go on, without ending it. */
export function pauseMember(index: number, signal: 'SIGSTOP' | 'SIGCONT'): void {
  members.get(index)?.kill(signal);
}

/** Cuts a host off from etcd, and from nothing else. */
export async function cutOff(host: ClusterHost): Promise<void> {
  const members = memberAddresses.join(', ');
  await host.run(
    'nft',
    `table inet cut { chain out { type filter hook output priority 0; ip daddr { ${members} } drop; }; }`,
  );
}

/** Lets a host that was cut off reach etcd again. */
export async function joinAgain(host: ClusterHost): Promise<void> {
  await host.run('nft', 'delete table inet cut');
}

function ctl(...args: readonly string[]): [string, string[]] {
  const endpoints = memberAddresses.map(address => `https://${address}:2379`).join(',');
  return within({ name: 'etcd0' }, `${programs}/etcdctl`, [
    `--endpoints=${endpoints}`,
    `--cacert=${directory}/ca.pem`,
    ...args,
  ]);
}

/** Waits until all members answer. Returns their versions. */
export async function versionsOfMembers(): Promise<string[]> {
  const status = ctl('endpoint', 'status', '-w', 'json');
  await until(async () => (await execa(...status, { reject: false })).exitCode === 0, 60);
  const { stdout } = await execa(...status);
  return (JSON.parse(stdout) as { Status: { version: string } }[]).map(({ Status }) => Status.version);
}

/** Returns the keys and values below a prefix. */
export async function keysBelow(prefix: string): Promise<Map<string, string>> {
  const [program, args] = ctl('--user', `root:${password}`, 'get', '--prefix', prefix, '-w', 'json');
  const { stdout } = await execa(program, args, { env: { ETCDCTL_API: '3' } });
  const { kvs = [] } = JSON.parse(stdout) as { kvs?: { key: string; value: string }[] };
  const decode = (text: string) => Buffer.from(text, 'base64').toString();
  return new Map(kvs.map(({ key, value }) => [decode(key), decode(value)]));
}

/** Returns the keys and values by which a host has a part in the network of `sharedIni`. */
export async function partOf({ address }: { readonly address: string }): Promise<[string, string][]> {
  return [...(await keysBelow('/virlan/100/'))].filter(
    ([key, value]) => key.endsWith(`/${address}`) || value.includes(`"host":"${address}"`),
  );
}

/** Writes a key behind the back of all hosts. */
export async function putKey(key: string, value: string): Promise<void> {
  await execa(...ctl('--user', `root:${password}`, 'put', key, value), { env: { ETCDCTL_API: '3' } });
}

/** Returns virlan.ini of a host that shares its ledger. */
export function sharedIni(index: number, ...lines: readonly string[]): string {
  return [
    '[network.k8s-br0]',
    'vni = 100',
    ...lines,
    '[cluster]',
    `address = ${addresses[index]}`,
    'peers = etcd',
    `etcd = ${memberAddresses.map(address => `https://${address}:2379`).join(', ')}`,
    'ca = /etc/virlan/ca.pem',
    'username = virlan',
    'password-file = /etc/virlan/password',
    '',
  ].join('\n');
}

/** Puts the files that virlan.ini names on a host. */
export async function placeFiles(host: ClusterHost): Promise<void> {
  writeFileSync(`${directory}/password`, `${password}\n`);
  const copy = async (from: string, to: string) => {
    const { stdout } = await execa('base64', ['-w0', `${directory}/${from}`]);
    await host.run('sh', '-c', `echo ${stdout} | base64 -d > /etc/virlan/${to}; chmod 600 /etc/virlan/${to}`);
  };
  await copy('ca.pem', 'ca.pem');
  await copy('other-ca.pem', 'other-ca.pem');
  await copy('password', 'password');
}
