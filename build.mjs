import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

// What a file imports with import() becomes a file of its own: V8 need not even read past what it does not run.
const entryPoints = {
  start: 'src/bin/start.ts',
  virlan: 'src/bin/virlan.ts',
  hook: 'src/bin/hook.ts',
  'probe-guest': 'src/bin/probe-guest.ts',
  log: 'src/system/log.ts',
  'start-daemon': 'src/operations/start-daemon.ts',
  watch: 'src/watcher/watch.ts',
  client: 'src/watcher/client.ts',
  arrange: 'src/libvirt-networks/arrange.ts',
  restore: 'src/libvirt-networks/restore.ts',
  doctor: 'src/diagnosis/doctor/doctor.ts',
  probe: 'src/diagnosis/probe/probe.ts',
};
const ownFiles = {
  name: 'own files',
  setup({ onResolve }) {
    onResolve({ filter: /^\./ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: `./${basename(path, '.ts')}.cjs`, external: true } : undefined,
    );
  },
};

rmSync(new URL('dist', import.meta.url), { recursive: true, force: true });
const { metafile } = await build({
  entryPoints,
  outdir: 'dist',
  outExtension: { '.js': '.cjs' },
  absWorkingDir: import.meta.dirname,
  bundle: true,
  platform: 'node',
  target: 'node20',
  // CommonJS starts 4 ms sooner than an ES module, and unminified code keeps stack traces readable.
  format: 'cjs',
  // As require(): Node's loader of ES modules alone takes 25 ms.
  supported: { 'dynamic-import': false },
  define: { VIRLAN_VERSION: JSON.stringify(version) },
  plugins: [ownFiles],
  logLevel: 'warning',
  metafile: true,
});

// The licences of what is bundled ask for their text to go with it.
const bundled = Object.keys(metafile.inputs).flatMap(
  path => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
);
const licences = [...new Set(bundled)].sort().map(name => {
  const directory = new URL(`node_modules/${name}/`, import.meta.url);
  const file = readdirSync(directory).find(each => /^licen[cs]e/i.test(each));
  const { version, license, author } = JSON.parse(readFileSync(new URL('package.json', directory), 'utf8'));
  const text =
    file === undefined ? `${license}, by ${author}` : readFileSync(new URL(file, directory), 'utf8').trim();
  return `---- ${name} ${version}\n\n${text}\n`;
});
writeFileSync(new URL('dist/licences', import.meta.url), licences.join('\n'));
