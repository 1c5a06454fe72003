// run.mjs [NAMEPART...]: runs the unit tests whose path contains a NAMEPART, under this Node and those of
// test/nodes.
//
// The tests of node-libvirt are included. A test counts once; each further Node counts as one test, which
// passes if all tests pass.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';
import { execa } from 'execa';
import { bundleProgram } from '../../bundles.mjs';

const checkout = new URL('../..', import.meta.url).pathname;
const built = `${checkout}build/unit`;
const furtherNodes = ['node22', 'node24'];
const wanted = process.argv.slice(2);
const files = ['test/unit', 'src/node-libvirt/test']
  .flatMap(folder => readdirSync(`${checkout}${folder}`).map(file => `${folder}/${file}`))
  .filter(file => file.endsWith('.test.ts'))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));

// A file that does not run its suite would pass silently.
for (const file of files) {
  const text = readFileSync(`${checkout}${file}`, 'utf8');
  const suites = text.match(/= suite\(/g)?.length ?? 0;
  const runs = text.match(/^[a-z]\w*\.run\(\);$/gim)?.length ?? 0;
  if (suites === 0 || suites !== runs) throw new Error(`${file}: ${suites} suites, ${runs} of them run`);
}

mkdirSync(built, { recursive: true });
const bundles = await bundleProgram('0.0.0-test');
writeFileSync(
  `${built}/bundles.json`,
  JSON.stringify(
    bundles.map(({ source, contents, metafile }) => ({
      source,
      bytes: contents.length,
      inputs: metafile.inputs,
    })),
  ),
);
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

/** Runs the bundle. Returns its output and the numbers of tests. */
async function runUnder(node) {
  const { stdout, stderr, exitCode, shortMessage, code } = await execa(
    node,
    ['--enable-source-maps', `${built}/all.cjs`],
    { cwd: checkout, reject: false, timeout: 900_000, killSignal: 'SIGKILL' },
  );
  // uvu prints one summary for all suites, unless one of them ended the process early.
  const [, total = 0, passed = 0] = (/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)/m.exec(stdout) ?? []).map(
    Number,
  );
  const failed = total === 0 ? 1 : total - passed || (exitCode === 0 ? 0 : 1);
  const output = [stdout, stderr, exitCode === 0 ? '' : shortMessage].join('\n').trim();
  return { output, passed, failed, isInstalled: code !== 'ENOENT' };
}

const paths = [
  process.execPath,
  ...furtherNodes.map(name => `${checkout}test/nodes/node_modules/${name}/bin/node`),
];
const [own, ...further] = await Promise.all(paths.map(runUnder));
console.log(own.output);
for (const [index, { output, passed, failed, isInstalled }] of further.entries()) {
  const name = furtherNodes[index];
  if (!isInstalled) console.log(`${name} is missing: run "npm ci --prefix test/nodes"`);
  else if (failed === 0) console.log(`${name}: ${passed} unit tests passed`);
  // If this Node failed, too, its output above has the reason.
  else console.log(`${name}: FAILED${own.failed > 0 ? ', too' : `\n${output}`}`);
}

const passed = own.passed + further.filter(run => run.failed === 0).length;
const failed = own.failed + further.filter(run => run.failed > 0).length;
writeFileSync(`${built}/totals.json`, `${JSON.stringify({ passed, failed })}\n`);
console.log(`unit: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
