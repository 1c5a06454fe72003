// uvu.mjs: uvu, with suites that print the error of a hook or test when it is thrown. uvu itself prints errors after the
// last test: a suite that is killed prints none, and an error of a before() is not printed at all.
import * as uvu from 'uvu';

/** Returns a suite of uvu. */
export function suite(name) {
  const made = uvu.suite(name);
  const { before } = made;
  const test = (title, handler) => made(title, state => printed(title, handler, state));
  return Object.assign(test, made, {
    before: Object.assign(hook => before(state => printed('before()', hook, state)), before),
  });
}

async function printed(title, work, state) {
  try {
    await work(state);
  } catch (error) {
    console.log(`\n${title}:`, error);
    throw error;
  }
}
