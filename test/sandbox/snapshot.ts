// Snapshots of the host's state that virlan could change, and their differences.
import { type Dirent, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { execa } from 'execa';

/** One line for each link, route, rule, sysctl, file and process that virlan could change. */
export type Snapshot = readonly string[];

/**
 * Keys whose values change without virlan: kernel timers, and the carrier, which follows a link with a delay.
 */
const volatile = /_timer$|^(operstate$|topology_change|bridge_id|root_id|designated_|tentative)/;
/** Files that virlan never removes: locks, the log, and the mark of a network that is to stay down. */
const lasting = /\.lock(\.fifo|\.takeover)?$|^\/run\/virlan\/[^/]+\.down$|^\/var\/log\//;

/** Takes a snapshot of the kernel's state, of files and of dnsmasq. */
export async function snapshot(): Promise<Snapshot> {
  return [
    ...(await kernelState()),
    ...['/etc', '/run', '/usr/lib/virlan', '/var/lib/virlan', '/var/lib/dnsmasq', '/var/lib/libvirt'].flatMap(
      filesIn,
    ),
    ...processes('dnsmasq').map(({ pid, command }) => `process ${pid} ${command}`),
  ].sort();
}

/** Returns a line for each link, route, rule and sysctl. */
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
    // The kernel creates this key when a process first listens.
    ...sysctls.filter(line => !line.includes('fastopen_key')).map(line => `sysctl ${line}`),
  ];
}

/**
 * Returns the lines only in `before`, with "- ", and only in `after`, with "+ ". Equal lines count
 * separately.
 */
export function difference(before: Snapshot, after: Snapshot): string[] {
  const lost = [...before];
  const found = after.filter(line => {
    const at = lost.indexOf(line);
    if (at !== -1) lost.splice(at, 1);
    return at === -1;
  });
  return [...lost.map(line => `- ${line}`), ...found.map(line => `+ ${line}`)];
}

/** Returns the differences between a snapshot and the present state, without lines that match `expected`. */
export async function changesSince(before: Snapshot, ...expected: RegExp[]): Promise<string[]> {
  return difference(before, await snapshot()).filter(line => !expected.some(pattern => pattern.test(line)));
}

/** Returns the processes whose program has this name. */
export function processes(program: string): { pid: number; command: string }[] {
  return readdirSync('/proc').flatMap(entry => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return command.split(' ')[0]?.endsWith(program) ? [{ pid: Number(entry), command }] : [];
    } catch {
      // The process has ended meanwhile.
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
  // The kernel adds a link-local address to each link, some time after it came up.
  if (key === 'addr_info') return (value as { scope: string }[]).filter(({ scope }) => scope !== 'link');
  return volatile.test(key) || key === 'packets' || key === 'bytes' ? undefined : value;
}

type Entry = Record<string, object>;

/** Returns tables, chains and rules. */
function nftLines({ nftables }: { nftables: Entry[] }): string[] {
  const all = nftables.flatMap(entry => Object.entries(entry)).filter(([kind]) => kind !== 'metainfo');
  return all.map(([kind, object]) => `nft ${JSON.stringify([kind, withoutPassing(object)], steady)}`);
}

/** Returns a set without the elements that packets add, and that end by themselves. */
function withoutPassing(object: object): object {
  return 'timeout' in object ? { ...object, elem: undefined } : object;
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
