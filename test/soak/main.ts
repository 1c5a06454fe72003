// main.ts: the program of the soak of one host or of a cluster: reads --seed and --seconds, and runs it.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { cluster } from './cluster/subject.ts';
import { oneHost } from './host/subject.ts';
import { soak } from './soak.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, seconds: { type: 'string', default: '1800' } },
});
const seed = values.seed === undefined ? randomInt(2 ** 32) : Number(values.seed);
const options = { seed, seconds: Number(values.seconds) };
const say = (line: string) => console.log(line);

const soaks = new Map([
  ['host', () => soak(oneHost, options, say)],
  ['cluster', () => soak(cluster, options, say)],
]);
const [name = 'host'] = positionals;
const work = soaks.get(name);
if (work === undefined)
  throw new Error(`unknown soak ${name}: choose from ${[...soaks.keys()].join(' and ')}`);

work().then(
  () => process.exit(0),
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  },
);
