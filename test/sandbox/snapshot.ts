import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { execa } from 'execa';

/** All that virlan could change on a host, a line for each thing, so that two snapshots can be compared. */
export type Snapshot = readonly string[];

/** What comes and goes by itself, or is there to stay: kernel timers, the carrier that follows a link some time after, locks and the log. */
const volatile = /_timer$|^(operstate$|topology_change|bridge_id|root_id|designated_|tentative)/;
const lasting = /\.lock$|^\/var\/log\//;

export async function snapshot(): Promise<Snapshot> {
  return [
    ...(await kernelState()),
    ...['/etc', '/run', '/usr/lib/virlan', '/var/lib/virlan', '/var/lib/dnsmasq', '/var/lib/libvirt'].flatMap(
      filesIn,
    ),
    ...processes('dnsmasq').map(({ pid, command }) => `process ${pid} ${command}`),
  ].sort();
}

/** Links, routes, rules and sysctls. */
export async function kernelState(): Promise<Snapshot> {
  const [links, routes, routes6, rules, iptables, sysctls] = await Promise.all([
    json('ip', '-json', '-details', 'address', 'show'),
    json('ip', '-4', '-json', 'route', 'show', 'table', 'all'),
    json('ip', '-6', '-json', 'route', 'show', 'table', 'all'),
    json('nft', '--json', '--handle', 'list', 'ruleset'),
    output('iptables-save'),
    output('sysctl', '--all', '--pattern', '^net\\.(ipv4|ipv6|bridge)\\.'),
  ]);
  return [
    ...(links as object[]).map(
      link => `link ${JSON.stringify(link, steady).replace(/"(NO-CARRIER|LOWER_UP)",?/g, '')}`,
    ),
    ...[...(routes as object[]), ...(routes6 as object[])]
      .map(route => `route ${JSON.stringify(route, steady)}`)
      .filter(route => !route.includes('"fe80:')),
    ...nftLines(rules as { nftables: Entry[] }),
    ...iptables.filter(line => /^-A |^:.* - /.test(line)).map(line => `iptables ${line}`),
    // The kernel makes that key when somebody first listens.
    ...sysctls.filter(line => !line.includes('fastopen_key')).map(line => `sysctl ${line}`),
  ];
}

/** What was there before and is no more, and what is new: of equal lines, too. */
export function difference(before: Snapshot, after: Snapshot): string[] {
  const lost = [...before];
  const found = after.filter(line => {
    const at = lost.indexOf(line);
    if (at !== -1) lost.splice(at, 1);
    return at === -1;
  });
  return [...lost.map(line => `- ${line}`), ...found.map(line => `+ ${line}`)];
}

/** What differs from a snapshot by now, except for what is meant to. */
export async function changesSince(before: Snapshot, ...meant: RegExp[]): Promise<string[]> {
  return difference(before, await snapshot()).filter(line => !meant.some(pattern => pattern.test(line)));
}

export function processes(program: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return command.split(' ')[0]?.endsWith(program) ? [{ pid: Number(entry), command }] : [];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

async function output(program: string, ...args: string[]): Promise<string[]> {
  return (await execa(program, args)).stdout.split('\n');
}

async function json(program: string, ...args: string[]): Promise<unknown> {
  return JSON.parse((await output(program, ...args)).join('\n') || '[]');
}

function steady(key: string, value: unknown): unknown {
  // The kernel makes up such an address for each link, some time after it has come up.
  if (key === 'addr_info') return (value as { scope: string }[]).filter(({ scope }) => scope !== 'link');
  return volatile.test(key) || key === 'packets' || key === 'bytes' ? undefined : value;
}

type Entry = Record<
  string,
  { table?: string; chain?: string; name?: string; policy?: string; hook?: string }
>;

/** Tables, chains and rules, without the empty chains and tables that iptables makes and never takes away. */
function nftLines({ nftables }: { nftables: Entry[] }): string[] {
  const all = nftables.flatMap(entry => Object.entries(entry)).filter(([kind]) => kind !== 'metainfo');
  const isUsed = ([kind, { table, name, hook, policy }]: (typeof all)[number]): boolean => {
    if (kind === 'table') return all.some(entry => entry[1].table === name && isUsed(entry));
    if (kind !== 'chain' || hook === undefined || policy !== 'accept') return true;
    return all.some(([, other]) => other.table === table && other.chain === name);
  };
  return all.filter(isUsed).map(entry => `nft ${JSON.stringify(entry, steady)}`);
}

function filesIn(directory: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.flatMap(entry => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return filesIn(path);
    if (lasting.test(path)) return [];
    const { mode, uid, gid, size, mtimeMs, ino } = lstatSync(path);
    const target = entry.isSymbolicLink() ? ` → ${readlinkSync(path)}` : '';
    return [`file ${path} ${mode.toString(8)} ${uid}:${gid} ${size} bytes, ${mtimeMs}, ${ino}${target}`];
  });
}
