import { randomInt } from 'node:crypto';
import { suite } from 'uvu';
import { soak } from '../soak/soak.ts';

const soaking = suite('soak');

/** Half an hour of it is `npm run soak`. */
const seconds = 60;

soaking('a minute of whatever may happen to a host, and all is right after each step', async () => {
  await soak(randomInt(2 ** 32), seconds, line => console.log(`  ${line}`));
});

soaking.run();
