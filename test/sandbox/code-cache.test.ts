// The cache of code compiled by V8, which must never prevent virlan from starting.
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { installVirlan } from './host.ts';

const cached = suite('code cache');
const cache = '/var/cache/virlan';
const cacheFile = `${cache}/bin/virlan.cjs.v8`;
const bundle = '/usr/lib/virlan/bin/virlan.cjs';

async function startVirlan(): Promise<void> {
  assert.match((await execa('/usr/sbin/virlan', ['--version'])).stdout, /^virlan \d/);
}

/** Returns the commands whose code is cached, from the end of the file's header. */
function cachedCommands(): string[] {
  return readFileSync(cacheFile).toString('latin1').split('\n')[0]?.split(' ').slice(3) ?? [];
}

cached('the code of the first start is cached, readable only by root', async () => {
  await installVirlan();
  rmSync(cache, { recursive: true, force: true });
  await startVirlan();
  assert.deepEqual(cachedCommands(), ['--version']);
  for (const path of [cache, `${cache}/bin`]) assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(cacheFile).mode & 0o777, 0o600);
  const before = statSync(cacheFile);
  await startVirlan();
  assert.equal(statSync(cacheFile).ino, before.ino, 'written again');
});

cached('another command adds its functions', async () => {
  const { size } = statSync(cacheFile);
  await execa('/usr/sbin/virlan', ['plan'], { reject: false });
  assert.deepEqual(cachedCommands(), ['--version', 'plan']);
  assert(statSync(cacheFile).size > size);
});

cached('invalid command lines do not let the cache grow without limit', async () => {
  for (let run = 0; run < 25; run++) await execa('/usr/sbin/virlan', [`x${run}`], { reject: false });
  assert.equal(cachedCommands().length, 20);
});

cached('a replaced bundle is compiled again', async () => {
  utimesSync(bundle, new Date(), new Date(0));
  await startVirlan();
  assert.deepEqual(cachedCommands(), ['--version']);
});

cached('a damaged cache is replaced', async () => {
  const [header = ''] = readFileSync(cacheFile).toString('latin1').split('\n');
  for (const content of ['', 'x', `${header}\n`, `${header}\n${'x'.repeat(10_000)}`]) {
    writeFileSync(cacheFile, content);
    await startVirlan();
    assert.deepEqual(cachedCommands(), ['--version']);
    assert(statSync(cacheFile).size > 10_000, JSON.stringify(content.slice(0, 100)));
  }
});

cached('virlan starts where the cache cannot be written', async () => {
  rmSync(cache, { recursive: true, force: true });
  writeFileSync(cache, 'not a directory');
  await startVirlan();
  rmSync(cache);
  assert(!existsSync(cache));
  await startVirlan();
  chmodSync(cache, 0o700);
  assert.deepEqual(readdirSync(cache), ['bin']);
});

cached.run();
