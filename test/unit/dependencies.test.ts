// dependencies.test.ts: tests what package-lock.json allows npm to run and to install.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';

const dependencies = suite('dependencies');

interface Locked {
  readonly link?: boolean;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
}

for (const directory of ['', 'test/nodes/']) {
  const lock: { packages: Record<string, Locked> } = JSON.parse(
    readFileSync(`${directory}package-lock.json`, 'utf8'),
  );
  // Without those of this repository.
  const fetched = Object.entries(lock.packages).filter(
    ([path, { link }]) => path.startsWith('node_modules/') && link !== true,
  );

  dependencies(`each package of ${directory}package-lock.json has its digest`, () => {
    assert(fetched.length > 1);
    for (const [path, { integrity }] of fetched) {
      assert.match(String(integrity), /^sha512-/, path);
    }
  });

  dependencies(
    `no package of ${directory}package-lock.json runs a script when it is installed, but esbuild`,
    () => {
      const scripted = fetched.filter(([, { hasInstallScript }]) => hasInstallScript === true);
      assert.deepEqual(
        scripted.map(([path]) => path).filter(path => path !== 'node_modules/esbuild'),
        [],
      );
    },
  );
}

dependencies.run();
