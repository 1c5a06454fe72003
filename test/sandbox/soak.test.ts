// One minute of the soak test.
import { randomInt } from 'node:crypto';
import { suite } from 'uvu';
import { oneHost } from '../soak/host/subject.ts';
import { soak } from '../soak/soak.ts';

const soaking = suite('soak');

/** `npm run soak` takes half an hour. */
const durationSeconds = 60;

soaking('all invariants hold after each random action of a minute', async () => {
  await soak(oneHost, { seed: randomInt(2 ** 32), seconds: durationSeconds }, line =>
    console.log(`  ${line}`),
  );
});

soaking.run();
