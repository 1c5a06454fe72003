// Prints steps of a plan as text or JSON: `  + bridge k8s-br0  52:54:00:5e:00:01, MTU 1500, STP on`.
import { style } from '../cli/terminal.ts';
import type { Description } from '../network/steps/step-text.ts';
import { describeStep, type Step, stepFields } from '../network/steps/steps.ts';

/** In columns. */
const maxLineLength = 72;

/** Returns steps as an indented list. */
export function stepLines(steps: readonly Step[]): string[] {
  const descriptions = steps.map(step => describeStep(step));
  const width = Math.max(
    ...descriptions.filter(({ detail }) => detail !== '').map(({ subject }) => subject.length),
    0,
  );
  const colours = { '+': 'green', '~': 'yellow', '-': 'red' } as const;
  return descriptions.flatMap(({ sign, subject, detail, lines }) => [
    `  ${style(sign, colours[sign])} ${detail === '' ? subject : `${subject.padEnd(width)}  ${detail}`}`,
    ...lines.map(line => `      ${shorten(line)}`),
  ]);
}

/** Returns a step as JSON output shows it: `do` for the kind, its fields, and a description. */
export function stepJson(step: Step): object {
  return { do: step.kind, ...stepFields(step), ...inWords(step) };
}

/** Returns the description of a step: `text` in one line, its `sign` (added, changed, removed), and details. */
function inWords(step: Step): { text: string; sign: Description['sign']; lines: readonly string[] } {
  const { sign, subject, detail, lines } = describeStep(step);
  return { text: `${sign} ${subject}${detail === '' ? '' : `: ${detail}`}`, sign, lines };
}

function shorten(line: string): string {
  return line.length > maxLineLength ? `${line.slice(0, maxLineLength - 1)}…` : line;
}
