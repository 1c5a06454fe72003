// main.ts: the program of the soak: reads --seed and --seconds, and runs it.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { soak } from './soak.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string' }, seconds: { type: 'string', default: '1800' } },
});
const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);

soak(seed, Number(values.seconds), line => console.log(line)).then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
