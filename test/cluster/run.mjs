// run.mjs [--limit SECONDS] [--browser DIRECTORY] [--screenshots DIRECTORY] [NAMEPART...]: runs the tests of clusters
// whose file name has a NAMEPART, each in a private host, in which the hosts of the cluster are namespaces: they take
// too long for `npm test`. The browser's directory has the unpacked packages of Cockpit and Chromium.
import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { bundle, inPrivateHost, runFile } from '../private-hosts.mjs';

const { values: options, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: {
    limit: { type: 'string', default: '1200' },
    browser: { type: 'string' },
    screenshots: { type: 'string' },
  },
});
const built = `${new URL('../..', import.meta.url).pathname}build/cluster`;
const files = readdirSync(import.meta.dirname)
  .filter(file => file.endsWith('.test.ts'))
  .filter(file => wanted.length === 0 || wanted.some(part => file.includes(part)));
await bundle(
  files.map(file => `${import.meta.dirname}/${file}`),
  built,
);

/** Arguments of the file that needs programs of its own. */
const programs = {
  'cockpit.test.ts': [options.browser, options.screenshots].filter(each => each !== undefined),
};

const totals = { passed: 0, failed: 0 };
for (const file of files) {
  const { passed, failed } = await runFile(
    file,
    inPrivateHost(file, built, ...(programs[file] ?? [])),
    Number(options.limit),
  );
  totals.passed += passed;
  totals.failed += failed;
}
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
