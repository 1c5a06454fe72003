// Prints steps of a plan as text or JSON: `  + bridge k8s-br0  52:54:00:5e:00:01, MTU 1500, STP on`.
import { formatIp, type Ipv4 } from '../address/ip.ts';
import { style } from '../cli/terminal.ts';
import type { Tunnel } from '../cluster/tunnel.ts';
import { translationText } from '../firewall/translation.ts';
import { type Elements, setNames } from '../guard/elements.ts';
import type { LinkAddress } from '../network/state/state.ts';
import type { Description } from '../network/steps/step-text.ts';
import { describeStep, type Step } from '../network/steps/steps.ts';
import { bgpProblemText } from '../network/tunnel/bgp-text.ts';

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

/**
 * Returns a step as JSON output shows it: its fields, with `do` for the kind, and a description. IP addresses
 * are texts: JSON has no number for an IPv6 address.
 */
export function stepJson(step: Step): object {
  if (step.kind === 'change forwards') {
    // All translations may be thousands.
    const { kind, backend, bridge } = step;
    const [missing, stale] = [step.missing.map(translationText), step.stale.map(translationText)];
    return { do: kind, backend, bridge, missing, stale, ...inWords(step) };
  }
  if (step.kind === 'load guard') {
    const { kind, bridge, guard, isPresent, drift } = step;
    const taps = guard.taps.map(({ tap }) => tap);
    return {
      do: kind,
      bridge,
      table: guard.table,
      taps,
      isPresent,
      drift,
      ...inWords(step),
    };
  }
  if (step.kind === 'change guard') {
    // All taps may be thousands.
    const { kind, bridge } = step;
    const [missing, surplus] = [elementsJson(step.missing), elementsJson(step.surplus)];
    return { do: kind, bridge, missing, surplus, ...inWords(step) };
  }
  const { kind, ...fields } = step;
  return { do: kind, ...fields, ...fieldsInJson(step), ...inWords(step) };
}

/** Returns the fields of a step that JSON output shows in another form. */
function fieldsInJson(step: Step): object {
  if (step.kind === 'add bridge')
    return { state: { ...step.state, addresses: step.state.addresses.map(addressJson) } };
  if (step.kind === 'add tunnel' || step.kind === 'connect tunnel')
    return { tunnel: tunnelJson(step.tunnel) };
  if (step.kind === 'set peers')
    return {
      missing: step.missing.map(each => formatIp(each)),
      surplus: step.surplus.map(each => formatIp(each)),
    };
  if (step.kind === 'configure bgp' || step.kind === 'withdraw bgp')
    return {
      surplus: step.surplus.map(({ command }) => command),
      missing: step.missing.map(({ command }) => command),
      problem: step.problem === null ? null : bgpProblemText(step.problem),
    };
  if (step.kind === 'write reservations' || step.kind === 'write names')
    return { network: step.network.name };
  return 'address' in step ? { address: addressJson(step.address) } : {};
}

/** Returns the elements by the name of their set, without empty sets. */
function elementsJson(elements: Elements): object {
  return Object.fromEntries(
    setNames.filter(name => elements[name].size > 0).map(name => [name, [...elements[name]]]),
  );
}

function tunnelJson({ local, peers, speaker, ...tunnel }: Tunnel): object {
  return {
    ...tunnel,
    local: formatIp(local),
    peers: peers.map((peer: Ipv4) => formatIp(peer)),
    as: speaker?.as ?? null,
  };
}

function addressJson({ ip, prefixLength, broadcast }: LinkAddress): object {
  return { ip: formatIp(ip), prefixLength, broadcast: broadcast === null ? null : formatIp(broadcast) };
}

/** Returns the description of a step: `text` in one line, its `sign` (added, changed, removed), and details. */
function inWords(step: Step): { text: string; sign: Description['sign']; lines: readonly string[] } {
  const { sign, subject, detail, lines } = describeStep(step);
  return { text: `${sign} ${subject}${detail === '' ? '' : `: ${detail}`}`, sign, lines };
}

function shorten(line: string): string {
  return line.length > maxLineLength ? `${line.slice(0, maxLineLength - 1)}…` : line;
}
