import { renderBash } from './bash.ts';
import { renderFish } from './fish.ts';
import { renderIni } from './ini.ts';
import { renderManIni } from './man-ini.ts';
import { renderManVirlan } from './man-virlan.ts';
import { renderPage } from './page.ts';
import { renderZsh } from './zsh.ts';

/**
 * What is written from the tables of keys (src/config) and of commands (src/cli), so that it cannot say anything else:
 * path in the project → how its text is made. "npm run generate" writes them.
 */
export const generatedFiles: Readonly<Record<string, () => string>> = {
  'install/virlan.ini': renderIni,
  'docs/virlan.ini.md': renderPage,
  'install/man/virlan.8': renderManVirlan,
  'install/man/virlan.ini.5': renderManIni,
  'contrib/completions/virlan.bash': renderBash,
  'contrib/completions/_virlan': renderZsh,
  'contrib/completions/virlan.fish': renderFish,
};
