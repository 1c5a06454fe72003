// The files that are generated from the tables of keys (src/config) and of commands (src/cli).
import { renderBash } from './bash.ts';
import { renderFish } from './fish.ts';
import { renderIni } from './ini.ts';
import { renderDoctorSchema, renderPlanSchema, renderStatusSchema } from './json-schema.ts';
import { renderManIni } from './man-ini.ts';
import { renderManVirlan } from './man-virlan.ts';
import { renderPage } from './page.ts';
import { dateOf } from './roff.ts';
import { renderZsh } from './zsh.ts';

/** Path in the project → how its text is made. The date, `2026-11-25`, is for the title of a manual page. */
const renderers: Readonly<Record<string, (date: string) => string>> = {
  'install/virlan.ini': renderIni,
  'docs/virlan.ini.md': renderPage,
  'docs/schema/status.json': renderStatusSchema,
  'docs/schema/plan.json': renderPlanSchema,
  'docs/schema/doctor.json': renderDoctorSchema,
  'install/man/virlan.8': renderManVirlan,
  'install/man/virlan.ini.5': renderManIni,
  'contrib/completions/virlan.bash': renderBash,
  'contrib/completions/_virlan': renderZsh,
  'contrib/completions/virlan.fish': renderFish,
};

export const generatedPaths: readonly string[] = Object.keys(renderers);

/**
 * Returns the text of a generated file. A manual page keeps the date of its present text as long as nothing
 * else in it changes; otherwise its date is `today`. `present` is empty for a file that does not exist.
 */
export function renderFile(path: string, present: string, today: string): string {
  const render = renderers[path];
  if (render === undefined) throw new Error(`${path} is not a generated file`);
  const unchanged = render(dateOf(present) ?? today);
  return unchanged === present ? unchanged : render(today);
}
