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
import { prepare } from './hook-calls.ts';
import { configure, installVirlan, virlan } from './host.ts';

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

cached('the first start of a machine on a network that is up loads the hook and nothing else', async () => {
  await configure('[network.k8s-br0]\nstp = no\n');
  assert.equal((await virlan('up')).exitCode, 0);
  const start = (name: string, mac: string) =>
    prepare({ name, nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
  // The first lock after the boot takes a program.
  assert.equal((await start('first', '52:54:00:00:00:01')).exitCode, 0);
  rmSync(cache, { recursive: true, force: true });
  assert.equal((await start('second', '52:54:00:00:00:02')).exitCode, 0);
  assert.match(readFileSync('/var/log/virlan.log', 'utf8'), /"code":"reservation".*"machine":"second"/);
  const files = readdirSync(cache, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.v8'),
  );
  assert.deepEqual(files, ['bin/hook.cjs.v8']);
});

cached.run();
