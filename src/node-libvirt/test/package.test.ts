// The package as npm would publish it: its files, what plain Node imports from it, its types, and its README.
// `npm run build --workspace node-libvirt` has to run first; test/setup.sh does.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import { LibvirtApi } from '../src/api.ts';
import { LibvirtClient } from '../src/client.ts';
import * as errors from '../src/errors.ts';
import * as frame from '../src/frame.ts';
import * as index from '../src/index.ts';

const test = suite('node-libvirt package');
const folder = `${process.cwd()}/src/node-libvirt`;
const readme = readFileSync(`${folder}/README.md`, 'utf8');
const example = `${folder}/examples/follow.mjs`;

test('package: has the built files of all sources, the example that its README names, and nothing else', () => {
  const pack = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const [packed] = JSON.parse(execFileSync('npm', pack, { cwd: folder, encoding: 'utf8', stdio: 'pipe' }));
  const built = readdirSync(`${folder}/src`).flatMap(file =>
    ['.d.ts', '.js'].map(extension => `dist/${file.replace(/\.ts$/, extension)}`),
  );
  const paths = packed.files.map(({ path }: { path: string }) => path).sort();
  const others = ['LICENSE', 'README.md', 'examples/follow.mjs', 'package.json'];
  assert.deepEqual(paths, [...others, ...built].sort());
});

test('package: its sources import each other and Node alone', () => {
  const imports = readdirSync(`${folder}/src`).flatMap(file =>
    [...readFileSync(`${folder}/src/${file}`, 'utf8').matchAll(/(?:from|import) '([^']+)'/g)].map(
      ([, module]) => module,
    ),
  );
  assert(imports.length > 0);
  assert.deepEqual(
    imports.filter(module => !/^(\.\/[a-z-]+\.ts|node:.+)$/.test(module ?? '')),
    [],
  );
});

test('package: plain Node imports what the sources export', () => {
  const program = `
    const names = async module => Object.keys(await import(module));
    console.log(JSON.stringify([await names('node-libvirt'), await names('node-libvirt/frame')]));`;
  const printed = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  });
  assert.deepEqual(JSON.parse(printed), [Object.keys(index).sort(), Object.keys(frame).sort()]);
});

test('package: the example type-checks against the published types', () => {
  const options = '--ignoreConfig --noEmit --strict --checkJs --module nodenext --target es2023 --types node';
  execFileSync('node_modules/.bin/tsc', [...options.split(' '), example], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
});

test('package: the README shows the example, and names every call, error and function', () => {
  assert(readme.includes(`\`\`\`js\n${readFileSync(example, 'utf8')}\`\`\`\n`), 'the example differs');
  const methods = [LibvirtApi, LibvirtClient].flatMap(({ prototype }) =>
    Object.getOwnPropertyNames(prototype),
  );
  const names = methods.filter(name => name !== 'constructor').map(name => `\`${name}(`);
  names.push(...Object.keys(errors).map(name => `\`${name}`));
  assert.deepEqual(
    names.filter(name => !readme.includes(name)),
    [],
  );
});

test.run();
