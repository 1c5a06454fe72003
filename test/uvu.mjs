// uvu.mjs: uvu, whose suites print the error of a before() that throws. uvu itself only leaves out their tests.
import * as uvu from 'uvu';

/** Returns a suite of uvu. */
export function suite(name) {
  const made = uvu.suite(name);
  const { before } = made;
  made.before = Object.assign(hook => before(state => printed(hook, state)), before);
  return made;
}

async function printed(hook, state) {
  try {
    await hook(state);
  } catch (error) {
    console.log('\nbefore():', error);
    throw error;
  }
}
