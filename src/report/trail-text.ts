// The texts for decision trails: `virlan ip --verbose` and `virlan doctor --verbose` print one line for each
// step.
import { formatIp } from '../address/ip.ts';
import type { BackendChoice } from '../firewall/backends.ts';
import type { SkipReason } from '../identity/problem.ts';
import { holderText } from '../identity/problem-text.ts';
import type { AddressReason, MacHolder, TrailStep } from '../identity/trail.ts';

const macReasons = {
  ledger: 'the ledger has it',
  definition: "the machine's definition has it",
  formula: 'by the formula',
} as const;

const macHolders: Readonly<Record<MacHolder, string>> = {
  ledger: 'reserved for another machine',
  definition: "in another machine's definition",
  'fixed-host': 'a [host.…] section of another name has it',
  hostsfile: 'a line of another name in the hostsfile has it',
  sibling: 'another NIC of the machine has it',
  gateway: 'the gateway has it',
};

const entryReasons = {
  'current-mac': 'known by its MAC',
  'earlier-mac': 'known by a MAC that it had before',
  place: "known by its place among the machine's NICs",
  name: 'inherited from a machine of this name that no longer exists',
  none: 'new: the ledger has no entry for it',
} as const;

const hostnameReasons = {
  metadata: "the machine's metadata asks for it",
  ledger: 'the ledger has it',
  'machine-name': "from the machine's name",
} as const;

const addressReasons: Readonly<Record<AddressReason, string>> = {
  hostsfile: 'a line written by hand in the hostsfile has it',
  'fixed-host': 'a [host.…] section has it',
  metadata: "the machine's metadata asks for it",
  ledger: 'the ledger has it',
  formula: 'by the formula',
  'next-free': "the first free one after the formula's",
  'retired-reused': 'dhcp-range is used up: reused from the machine that was undefined longest ago',
  none: 'dhcp-range is used up',
  'mac-taken': 'its MAC is not its own',
};

const backendReasons: Readonly<Record<BackendChoice['reason'], string>> = {
  configured: 'virlan.ini says so',
  preferred: 'preferred where it is installed',
  'only-one-installed': 'the only one that is installed',
  'others-refused': 'the kernel refused the rules of the other',
};

const skipReasons: Readonly<Record<SkipReason, string>> = {
  reserved: 'reserved for another NIC',
  leased: 'leased to another machine',
  answered: 'somebody on the bridge answers for it',
  elsewhere: 'not claimed by this host',
  fixed: 'a [host.…] section or a line written by hand has it',
};

/** Returns one line for a step: what was decided, and why. Names in it are printable ASCII. */
export function trailText(step: TrailStep | BackendChoice): string {
  switch (step.kind) {
    case 'backend':
      return `firewall ${step.chosen}: ${backendReasons[step.reason]}; installed: ${step.available.join(', ')}`;
    case 'entry':
      return `entry: ${entryReasons[step.reason]}`;
    case 'mac': {
      const skipped = step.skipped.map(({ mac, holder }) => `${mac} is not free (${macHolders[holder]})`);
      return [`MAC ${step.mac}: ${macReasons[step.reason]}`, ...skipped].join('; ');
    }
    case 'claim':
      return `MAC ${step.mac}: ${step.outcome} by ${holderText(step.holder)}`;
    case 'hostname':
      return `host name ${step.hostname}: ${hostnameReasons[step.reason]}`;
    case 'address': {
      const unlisted = step.skippedCount - step.skipped.length;
      return [
        `${step.address === null ? 'no address' : `address ${formatIp(step.address)}`}: ${addressReasons[step.reason]}`,
        ...step.skipped.map(
          ({ address, reason }) => `${formatIp(address)} is not free (${skipReasons[reason]})`,
        ),
        ...(unlisted === 0 ? [] : [`${unlisted} more are not free`]),
      ].join('; ');
    }
  }
}

/** Returns a step for JSON: addresses as text, and the step in words. Fields may be added, never renamed. */
export function trailJson(step: TrailStep | BackendChoice): object {
  const text = trailText(step);
  if (step.kind !== 'address') return { ...step, text };
  const skipped = step.skipped.map(({ address, reason }) => ({ address: formatIp(address), reason }));
  return { ...step, address: step.address === null ? null : formatIp(step.address), skipped, text };
}
