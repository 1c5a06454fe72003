// The code that V8 compiled is kept between starts, and nothing that is wrong with it keeps virlan from starting.
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

const start = suite('start');
const cache = '/var/cache/virlan';
const kept = `${cache}/bin/virlan.cjs.v8`;
const bundle = '/usr/lib/virlan/bin/virlan.cjs';

async function startVirlan(): Promise<void> {
  assert.match((await execa('/usr/sbin/virlan', ['--version'])).stdout, /^virlan \d/);
}

/** The end of the header: the commands whose code is kept. */
function keptParts(): string[] {
  return readFileSync(kept).toString('latin1').split('\n')[0]?.split(' ').slice(3) ?? [];
}

start('the code of the first start is kept, readable by root alone', async () => {
  await installVirlan();
  rmSync(cache, { recursive: true, force: true });
  await startVirlan();
  assert.deepEqual(keptParts(), ['--version']);
  for (const path of [cache, `${cache}/bin`]) assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(kept).mode & 0o777, 0o600);
  const before = statSync(kept);
  await startVirlan();
  assert.equal(statSync(kept).ino, before.ino, 'written again');
});

start('the functions that another command calls are added', async () => {
  const { size } = statSync(kept);
  await execa('/usr/sbin/virlan', ['plan'], { reject: false });
  assert.deepEqual(keptParts(), ['--version', 'plan']);
  assert(statSync(kept).size > size);
});

start('a command line that makes no sense does not make it grow for ever', async () => {
  for (let run = 0; run < 25; run++) await execa('/usr/sbin/virlan', [`x${run}`], { reject: false });
  assert.equal(keptParts().length, 20);
});

start('a bundle that was replaced gets code of its own', async () => {
  utimesSync(bundle, new Date(), new Date(0));
  await startVirlan();
  assert.deepEqual(keptParts(), ['--version']);
});

start('damaged code is made anew', async () => {
  const [header = ''] = readFileSync(kept).toString('latin1').split('\n');
  for (const content of ['', 'x', `${header}\n`, `${header}\n${'x'.repeat(10_000)}`]) {
    writeFileSync(kept, content);
    await startVirlan();
    assert.deepEqual(keptParts(), ['--version']);
    assert(statSync(kept).size > 10_000, JSON.stringify(content.slice(0, 100)));
  }
});

start('where nothing can be kept virlan starts all the same', async () => {
  rmSync(cache, { recursive: true, force: true });
  writeFileSync(cache, 'a file in its place');
  await startVirlan();
  rmSync(cache);
  assert(!existsSync(cache));
  await startVirlan();
  chmodSync(cache, 0o700);
  assert.deepEqual(readdirSync(cache), ['bin']);
});

start.run();
