// random.test.ts: tests the random numbers of the soak.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { Random } from '../soak/random.ts';

const random = suite('random');

function numbers(seed: number): number[] {
  const from = new Random(seed);
  return Array.from({ length: 1000 }, () => from.below(10));
}

random('a seed produces the same numbers again, and another seed other ones', () => {
  assert.deepEqual(numbers(7), numbers(7));
  assert.notDeepEqual(numbers(7), numbers(8));
});

random('all numbers are about equally frequent', () => {
  for (const seed of [0, 1, 2 ** 32 - 1]) {
    for (let number = 0; number < 10; number++) {
      const count = numbers(seed).filter(each => each === number).length;
      assert(count > 60 && count < 140, `${number} occurred ${count} times`);
    }
  }
});

random.run();
