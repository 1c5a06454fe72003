// fences.test.ts: tests the layers of src/: direction of imports, files with effects, size of the hook
// bundles; and the form of files: their first line, the width of comments, and that no switch has a default.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import { hookSources } from '../hook-bundles.ts';
import { effectful, findCycle, type Import, readImports, readSources } from './import-graph.ts';

const fences = suite('fences');

/** Modules of Node and packages that only compute. All others count as having effects. */
const purePackages = [
  ...['node:buffer', 'node:crypto', 'node:events', 'node:path', 'node:util', 'node:zlib'],
  ...[
    '@noble/hashes/sha2.js',
    '@noble/hashes/utils.js',
    'ini',
    'ipaddr.js',
    'saxes',
    'string-width',
    'valibot',
  ],
  '@valibot/to-json-schema',
];

/**
 * The files of src/ that read or change the host, or load a file that does; a folder stands for all of its
 * files.
 */
const effects = [
  ...['src/bin/', 'src/commands/', 'src/operations/'],
  'src/config/load.ts',
  'src/diagnosis/doctor/doctor.ts',
  'src/diagnosis/doctor/read-dnsmasq.ts',
  'src/diagnosis/doctor/read-host.ts',
  'src/diagnosis/doctor/read-machine.ts',
  'src/diagnosis/doctor/read-network.ts',
  'src/diagnosis/doctor/read-passage.ts',
  'src/diagnosis/doctor/read-reach.ts',
  'src/diagnosis/probe/ask-bgp.ts',
  'src/diagnosis/probe/ask-etcd.ts',
  'src/diagnosis/probe/ask-peers.ts',
  'src/diagnosis/probe/mac.ts',
  'src/diagnosis/probe/measure.ts',
  'src/diagnosis/probe/probe.ts',
  'src/diagnosis/probe/reachability.ts',
  'src/diagnosis/probe/trace.ts',
  'src/diagnosis/probe/upstream-drops.ts',
  'src/dnsmasq/ask.ts',
  'src/dnsmasq/lease-file.ts',
  'src/dnsmasq/open-leases.ts',
  'src/dnsmasq/process.ts',
  'src/dnsmasq/release.ts',
  'src/dnsmasq/service.ts',
  'src/dnsmasq/upstream.ts',
  'src/forwards/read.ts',
  'src/forwards/record.ts',
  'src/guard/bindings.ts',
  'src/guard/guard.ts',
  'src/identity/ledger-files.ts',
  'src/identity/ledger-rebuild.ts',
  'src/identity/reservation-files.ts',
  'src/identity/started-nics.ts',
  'src/identity/store.ts',
  'src/libvirt-networks/arrange.ts',
  'src/libvirt-networks/autostart.ts',
  'src/libvirt-networks/network-calls.ts',
  'src/libvirt-networks/restore.ts',
  'src/libvirt-networks/saved-network.ts',
  'src/libvirt/definitions.ts',
  'src/libvirt/migrations.ts',
  'src/libvirt/redefine.ts',
  'src/network/apply.ts',
  'src/network/establish.ts',
  'src/network/executors/connections.ts',
  'src/network/executors/executors.ts',
  'src/network/executors/new-table.ts',
  'src/network/executors/step-groups.ts',
  'src/network/forwards.ts',
  'src/network/kernel/bridge-netfilter.ts',
  'src/network/kernel/read-kernel.ts',
  'src/network/read-files.ts',
  'src/network/read-guard.ts',
  'src/network/record-changes.ts',
  'src/network/record-rules.ts',
  'src/network/records/applied-record.ts',
  'src/network/records/lacking.ts',
  'src/network/records/made-tables.ts',
  'src/network/records/original-state.ts',
  'src/network/refusals.ts',
  'src/network/restore.ts',
  'src/network/survey-host.ts',
  'src/network/survey-network.ts',
  'src/network/survey-other-programs.ts',
  'src/network/survey-tunnel.ts',
  'src/network/survey.ts',
  'src/network/tunnel/bgp.ts',
  'src/network/tunnel/frr-process.ts',
  'src/network/tunnel/tunnel.ts',
  'src/node-libvirt/src/client.ts',
  'src/node-libvirt/src/connection.ts',
  'src/node-libvirt/src/endpoints.ts',
  'src/node-libvirt/src/index.ts',
  'src/node-libvirt/src/link.ts',
  'src/records/cluster-copy.ts',
  'src/shared-ledger/client.ts',
  'src/shared-ledger/session.ts',
  'src/system/datagram.ts',
  'src/system/execa.ts',
  'src/system/file-cache.ts',
  'src/system/files.ts',
  'src/system/follow.ts',
  'src/system/host-addresses.ts',
  'src/system/lock-files.ts',
  'src/system/lock-programs.ts',
  'src/system/lock-wait.ts',
  'src/system/lock.ts',
  'src/system/log.ts',
  'src/system/logger.ts',
  'src/system/machine-id.ts',
  'src/system/neighbours.ts',
  'src/system/presence.ts',
  'src/system/processes.ts',
  'src/system/run.ts',
  'src/system/system.ts',
  'src/system/unreadable-files.ts',
  'src/watcher/cluster/peer-checks.ts',
  'src/watcher/cluster/shared-ledger-changes.ts',
  'src/watcher/cluster/shared-ledger.ts',
  'src/watcher/cluster/shared-ledgers.ts',
  'src/watcher/configuration.ts',
  'src/watcher/libvirt-follower.ts',
  'src/watcher/machines/mac-choice.ts',
  'src/watcher/machines/machine-starts.ts',
  'src/watcher/machines/machines.ts',
  'src/watcher/machines/outdated-reservations.ts',
  'src/watcher/machines/reserve-due.ts',
  'src/watcher/metrics.ts',
  'src/watcher/monitors/bgpd.ts',
  'src/watcher/monitors/definition-files.ts',
  'src/watcher/monitors/dnsmasq-processes.ts',
  'src/watcher/monitors/monitors.ts',
  'src/watcher/process/notify.ts',
  'src/watcher/process/priority.ts',
  'src/watcher/process/timers.ts',
  'src/watcher/repairs/network-work.ts',
  'src/watcher/repairs/repairs.ts',
  'src/watcher/repairs/rescan.ts',
  'src/watcher/socket/answer-daemon.ts',
  'src/watcher/socket/await-alive.ts',
  'src/watcher/socket/client.ts',
  'src/watcher/socket/hook-handlers.ts',
  'src/watcher/socket/metrics-server.ts',
  'src/watcher/socket/server.ts',
  'src/watcher/watch.ts',
  'src/watcher/watched-files.ts',
];

/** The limit of all bundles in `hookSources` together. 140 kB more cost 3 ms of 46 ms. */
const hookBudgetBytes = 234_000;

/** The formatter limits lines of code, but not those of comments. */
const maxCommentColumns = 120;

const sources = readSources();
const imports = readImports(sources);

function arrow({ from, to }: Import): string {
  return `${from} -> ${to}`;
}

function isEffectPackage(name: string): boolean {
  return !purePackages.includes(name);
}

function hasEffects(source: string): boolean {
  return effects.some(entry => (entry.endsWith('/') ? source.startsWith(entry) : source === entry));
}

/** A bundle as test/unit/run.mjs describes it; the keys of `inputs` are the files in it. */
interface Bundle {
  readonly source: string;
  readonly bytes: number;
  readonly inputs: Record<
    string,
    { readonly imports: readonly { readonly path: string; readonly kind: string }[] }
  >;
}

function readBundles(): Bundle[] {
  return JSON.parse(readFileSync('build/unit/bundles.json', 'utf8'));
}

/** Returns the files of a folder that are programs in TypeScript or JavaScript, as `test/unit/golden.ts`. */
function readFolder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(path => /\.(?:ts|tsx|mjs)$/.test(path) && !/(^|\/)node_modules\//.test(path))
    .map(path => `${folder}/${path}`);
}

/** Returns the folder of a source; a file directly in src/ is a unit of its own. */
function folderOf(source: string): string {
  return dirname(source) === 'src' ? source : dirname(source);
}

/** Returns the folder directly in src/ that contains a source. */
function topFolderOf(source: string): string {
  return source.split('/').slice(0, 2).join('/');
}

for (const [units, unitOf] of [
  ['folders', folderOf],
  ['top folders', topFolderOf],
  ['files', (source: string) => source],
] as const) {
  fences(`no cycle of imports between ${units}, type imports included`, () => {
    const cycle = findCycle(imports, unitOf);
    assert.deepEqual(cycle?.map(arrow) ?? [], []);
  });
}

fences('only files with effects load a package or a file that has effects', () => {
  const breaches = imports.filter(
    ({ kind, from, to }) =>
      kind === 'value' && !hasEffects(from) && (to.startsWith('src/') ? hasEffects(to) : isEffectPackage(to)),
  );
  assert.deepEqual(breaches.map(arrow).sort(), []);
});

fences('every entry in the list of files with effects is needed', () => {
  const found = [...effectful(imports, isEffectPackage)];
  const superfluous = effects.filter(entry => !found.some(source => source.startsWith(entry)));
  assert.deepEqual(superfluous, []);
});

fences('the imports read from the text include those that the bundler sees', () => {
  const known = new Set(imports.map(arrow));
  const seen = readBundles().flatMap(({ inputs }) =>
    Object.entries(inputs)
      .filter(([from]) => sources.includes(from))
      .flatMap(([from, { imports }]) => imports.map(({ path }) => `${from} -> ${path}`))
      .filter(each => sources.some(source => each.endsWith(` -> ${source}`))),
  );
  assert(seen.length > 500, `${seen.length} imports seen`);
  assert.deepEqual(
    seen.filter(each => !known.has(each)),
    [],
  );
});

fences('no command loads another command', () => {
  const index = 'src/commands/index.ts';
  const commands = imports.filter(({ from }) => from === index).map(({ to }) => to);
  assert(commands.includes('src/commands/up.ts'));
  const breaches = imports.filter(
    ({ from, to }) => from !== index && to.startsWith('src/commands/') && commands.includes(to),
  );
  assert.deepEqual(breaches.map(arrow), []);
});

fences('no switch has a default: the compiler names the cases that one lacks', () => {
  const texts = [...sources, ...readFolder('contrib/cockpit/src')];
  assert.deepEqual(
    texts.filter(path => /^ *default:/m.test(readFileSync(path, 'utf8'))),
    [],
  );
});

fences('each file begins with a comment that says what it is', () => {
  const files = [...sources, ...readFolder('test'), ...readFolder('contrib/cockpit/src')];
  assert(files.length > 700, `${files.length} files`);
  const bare = files.filter(path => !/^(?:#!.*\n)?\/\/ /.test(readFileSync(path, 'utf8')));
  assert.deepEqual(bare, []);
});

fences("the bundles that a machine's start loads are small, and cannot run programs", () => {
  const bundles = readBundles().filter(({ source }) => hookSources.includes(source));
  assert.equal(bundles.length, hookSources.length);
  const files = bundles.flatMap(({ inputs }) => Object.keys(inputs));
  assert.deepEqual(
    files.filter(file => /^node_modules\/(execa|pino|chokidar|prom-client)\//.test(file)),
    [],
  );
  const bytes = bundles.reduce((sum, bundle) => sum + bundle.bytes, 0);
  assert(bytes <= hookBudgetBytes, `${bytes} bytes of at most ${hookBudgetBytes}`);
});

fences('no command pays at its start for the expressions of string-width', () => {
  const entry = readBundles().find(({ source }) => source === 'src/bin/virlan.ts');
  assert(entry !== undefined);
  assert(!Object.keys(entry.inputs).some(file => file.startsWith('node_modules/string-width/')));
  const importing = sources.filter(source => /^import .*'string-width'/m.test(readFileSync(source, 'utf8')));
  assert.deepEqual(importing, []);
});

fences('without a tunnel, no bundle has the code of tunnels', () => {
  const withCluster = readBundles()
    .filter(({ inputs }) => Object.keys(inputs).some(file => file.startsWith('src/cluster/')))
    .map(({ source }) => source);
  assert.deepEqual(withCluster.sort(), [
    'src/diagnosis/probe/ask-bgp.ts',
    'src/diagnosis/probe/ask-peers.ts',
    'src/network/tunnel/bgp.ts',
    'src/network/tunnel/tunnel.ts',
  ]);
});

fences('a line of a comment has at most 120 columns', () => {
  const tooLong = sources.flatMap(source =>
    readFileSync(source, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        /^ *(?:\/\/|\/?\*)/.test(line) && line.length > maxCommentColumns ? [`${source}:${index + 1}`] : [],
      ),
  );
  assert.deepEqual(tooLong, []);
});

/** Returns imports from lines `FROM -> TO`, or `FROM ..> TO` for type imports, with paths below src. */
function graph(...arrows: readonly string[]): Import[] {
  return arrows.map(each => {
    const [from = '', how, to = ''] = each.split(' ');
    const target = to.includes('/') ? `src/${to}` : to;
    return { kind: how === '->' ? 'value' : 'type', from: `src/${from}`, to: target };
  });
}

fences('a cycle is found at any place, and only its own imports are returned', () => {
  const cyclic = graph('d/x -> a/x', 'a/x -> b/x', 'b/y ..> c/x', 'c/x -> a/y', 'b/x -> e/x');
  assert.deepEqual(findCycle(cyclic, folderOf)?.map(arrow), [
    'src/a/x -> src/b/x',
    'src/b/y -> src/c/x',
    'src/c/x -> src/a/y',
  ]);
  assert.equal(
    findCycle(cyclic, source => source),
    null,
  );
  assert.equal(findCycle(graph('a/x -> b/x', 'a/x -> c/x', 'b/x -> c/x', 'c/x -> c/y'), folderOf), null);
});

fences('an effect is found through other files, but not through type imports', () => {
  const found = effectful(
    graph('a/x -> b/x', 'b/x -> node:fs', 'c/x ..> b/x', 'c/y -> saxes'),
    isEffectPackage,
  );
  assert.deepEqual([...found].sort(), ['src/a/x', 'src/b/x']);
});

fences.run();
