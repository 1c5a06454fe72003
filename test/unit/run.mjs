// run.mjs [NAMEPART...]: runs the unit tests whose path contains a NAMEPART, all in one process. Those of node-libvirt
// are in its folder.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/unit`;
const wanted = process.argv.slice(2);
const files = ['test/unit', 'src/node-libvirt/test']
  .flatMap(folder => readdirSync(`${checkout}${folder}`).map(file => `${folder}/${file}`))
  .filter(file => file.endsWith('.test.ts'))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));

// A file that forgets to run its suite would pass in silence.
for (const file of files) {
  const text = readFileSync(`${checkout}${file}`, 'utf8');
  const suites = text.match(/= suite\(/g)?.length ?? 0;
  const runs = text.match(/^[a-z]\w*\.run\(\);$/gim)?.length ?? 0;
  if (suites === 0 || suites !== runs) throw new Error(`${file}: ${suites} suites, ${runs} of them run`);
}

mkdirSync(built, { recursive: true });
await build({
  stdin: { contents: files.map(file => `import './${file}';`).join('\n'), resolveDir: checkout },
  outfile: `${built}/all.cjs`,
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  sourcemap: 'inline',
  define: { VIRLAN_VERSION: '"0.0.0-test"' },
  logLevel: 'warning',
  absWorkingDir: checkout,
});

const { stdout, stderr, status } = spawnSync(process.execPath, ['--enable-source-maps', `${built}/all.cjs`], {
  cwd: checkout,
  encoding: 'utf8',
  timeout: 120_000,
  maxBuffer: 2 ** 26,
});
process.stdout.write(stdout + stderr);
// uvu sums up once over all suites, unless one of them ended the process early.
const [, total = 0, passed = 0] = (/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)/m.exec(stdout) ?? []).map(Number);
const failed = total === 0 ? 1 : total - passed || (status === 0 ? 0 : 1);
writeFileSync(`${built}/totals.json`, `${JSON.stringify({ passed, failed })}\n`);
console.log(`unit: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
