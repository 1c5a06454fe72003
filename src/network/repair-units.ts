import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import { describeStep } from './describe.ts';
import type { Step } from './plan.ts';

/**
 * The things of a bridge that a plan puts right, each with its steps. They are what another program may fight for, so
 * steps that make sense only together are one thing: what goes onto a bridge that is not there belongs to the bridge.
 */
export function thingsOf(bridge: string, steps: readonly Step[]): Map<string, Step[]> {
  const isNew = steps.some(step => step.do === 'add bridge');
  const portsReturn = steps.some(step => isPort(bridge, step));
  const thingOf = (step: Step) => {
    if (isNew && goesOnto(bridge, step)) return `bridge ${bridge}`;
    // STP rests while ports come back.
    if (portsReturn && (isPort(bridge, step) || isStp(step))) return `ports of ${bridge}`;
    return thingAlone(bridge, step);
  };
  const things = new Map<string, Step[]>();
  for (const step of steps) things.set(thingOf(step), [...(things.get(thingOf(step)) ?? []), step]);
  return things;
}

function goesOnto(bridge: string, step: Step): boolean {
  switch (step.do) {
    case 'add bridge':
    case 'add dummy':
    case 'add address':
    case 'set link':
      return true;
    case 'set sysctl':
      return step.key.includes(`.${bridge.replaceAll('.', '/')}.`);
    default:
      return false;
  }
}

function isPort(bridge: string, step: Step): boolean {
  return step.do === 'set link' && step.attribute === 'bridge' && step.to === bridge;
}

function isStp(step: Step): boolean {
  return step.do === 'set link' && step.attribute === 'stp';
}

function thingAlone(bridge: string, step: Step): string {
  const { subject } = describeStep(step);
  switch (step.do) {
    case 'load rules':
    case 'remove rules':
      return `${subject} of ${bridge}`;
    case 'start dnsmasq':
    case 'stop dnsmasq':
      return dnsmasqOf(bridge);
    case 'write file':
    case 'remove file':
      return step.path === dnsmasqPaths(bridge).conf ? dnsmasqOf(bridge) : subject;
    default:
      return subject;
  }
}

/** dnsmasq and its configuration: either is changed only together with the other. */
export function dnsmasqOf(bridge: string): string {
  return `dnsmasq of ${bridge}`;
}
