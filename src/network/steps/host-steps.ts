// Steps for the host around a network: settings of the kernel, files, managers of links, systemd-resolved.
import * as v from 'valibot';
import { dnsmasqPaths } from '../../dnsmasq/paths.ts';
import type { LinkNames } from '../../host-names/resolved.ts';
import { nullable } from '../../json-form.ts';
import { paths } from '../../system/paths.ts';
import { type LinkManagerName, linkManagerNames, linkManagers } from '../state/link-managers.ts';
import type { DesiredNetwork, ObservedNetwork } from '../state/state.ts';
import { formParts } from './step-form.ts';
import type { Forms, Kinds, StepsOf } from './step-kind.ts';
import { compareText, domainsText, line, modeText } from './step-text.ts';
import type { Unit } from './units.ts';

/** The fields of each kind. */
export interface HostFields {
  'set sysctl': { readonly key: string; readonly from: string | null; readonly to: string };
  'write file': { readonly path: string; readonly from: string | null; readonly to: string };
  'remove file': { readonly path: string; readonly from: string };
  /** Tells a manager of links to leave those of a network alone, by a file. */
  'claim links': {
    readonly manager: LinkManagerName;
    readonly bridge: string;
    readonly from: string | null;
    readonly to: string;
  };
  'release links': { readonly manager: LinkManagerName; readonly bridge: string; readonly from: string };
  /** Changes the mode of a file or a directory of dnsmasq's. */
  'set mode': {
    readonly bridge: string;
    readonly path: string;
    readonly from: number;
    readonly to: number;
  };
  /** Tells systemd-resolved which names to ask at the bridge. */
  'tell resolved': { readonly bridge: string; readonly from: LinkNames | null; readonly to: LinkNames };
  'revert resolved': { readonly bridge: string };
  /** Tells the dnsmasq of NetworkManager, by a file, which names to ask at the gateway. */
  'tell NetworkManager': { readonly bridge: string; readonly from: string | null; readonly to: string };
  'forget NetworkManager': { readonly bridge: string };
}

export type HostStep = StepsOf<HostFields>;

export const hostKinds: Kinds<HostFields> = {
  'set sysctl': {
    describe: ({ key, from, to }) => line('~', key, `${from === null ? '' : `${from} → `}${to}`),
    unit: ({ key }) => ({ kind: 'sysctl', key }),
    goal: ({ to }) => to,
    check: ({ key }) => (key.endsWith('.forwarding') ? 'forwarding' : 'settings'),
    fault: ({ key, from, to }) => (from === null ? `${key} is not set` : `${key} is ${from}, not ${to}`),
  },
  'write file': {
    describe: ({ path, from, to }) => line(from === null ? '+' : '~', path, '', compareText(from, to)),
    unit: fileUnit,
    goal: ({ to }) => to,
    check: () => 'dnsmasq',
    fault: ({ path, from }) =>
      `${path} ${from === null ? 'does not exist' : 'is not what virlan.ini calls for'}`,
    // Forwarding is switched on anyway, at each boot.
    isOptional: ({ path }) => path === paths.sysctl,
  },
  'remove file': {
    describe: ({ path }) => line('-', path),
    unit: fileUnit,
    goal: () => 'gone',
    check: () => 'dnsmasq',
    fault: ({ path }) => `${path} is not needed`,
  },
  'claim links': {
    describe: ({ manager, bridge, from, to }) =>
      line(from === null ? '+' : '~', manager, `leaves the links of ${bridge} alone`, compareText(from, to)),
    unit: managerUnit,
    goal: ({ to }) => to,
    check: () => 'settings',
    fault: ({ manager, bridge }) => `${manager} has not been told to leave the links of ${bridge} alone`,
    isOptional: () => true,
  },
  'release links': {
    describe: ({ manager, bridge }) => line('-', manager, `forgets the links of ${bridge}`),
    unit: managerUnit,
    goal: () => 'gone',
    check: () => 'settings',
    fault: ({ manager, bridge }) => `${manager} is told to leave the links of ${bridge} alone`,
    isOptional: () => true,
  },
  'set mode': {
    describe: ({ path, from, to }) => line('~', `mode of ${path}`, `${modeText(from)} → ${modeText(to)}`),
    unit: ({ path }) => ({ kind: 'file', path }),
    goal: ({ to }) => String(to),
    check: () => 'dnsmasq',
    fault: ({ path, from, to }) => `the mode of ${path} is ${modeText(from)}, not ${modeText(to)}`,
  },
  'tell resolved': {
    describe: ({ bridge, from, to }) =>
      line(from === null ? '+' : '~', 'systemd-resolved', `asks ${bridge} for ${domainsText(to)}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    goal: ({ to }) => JSON.stringify(to),
    check: () => 'settings',
    fault: ({ bridge }) => `systemd-resolved does not ask ${bridge} for the names of machines`,
    isOptional: () => true,
  },
  'revert resolved': {
    describe: ({ bridge }) => line('-', 'systemd-resolved', `forgets ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    goal: () => 'gone',
    check: () => 'settings',
    fault: ({ bridge }) => `systemd-resolved asks ${bridge} for names`,
    isOptional: () => true,
  },
  'tell NetworkManager': {
    describe: ({ bridge, from, to }) =>
      line(
        from === null ? '+' : '~',
        'NetworkManager',
        `its dnsmasq asks ${bridge} for names`,
        compareText(from, to),
      ),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    goal: ({ to }) => to,
    check: () => 'settings',
    fault: ({ bridge }) => `the dnsmasq of NetworkManager does not ask ${bridge} for the names of machines`,
    isOptional: () => true,
  },
  'forget NetworkManager': {
    describe: ({ bridge }) => line('-', 'NetworkManager', `its dnsmasq forgets ${bridge}`),
    unit: ({ bridge }) => ({ kind: 'host-names', bridge }),
    goal: () => 'gone',
    check: () => 'settings',
    fault: ({ bridge }) => `the dnsmasq of NetworkManager asks ${bridge} for names`,
    isOptional: () => true,
  },
};

export function hostForms(): Forms<HostFields> {
  const { integer, text } = formParts();
  const manager = v.picklist(linkManagerNames);
  const names = v.object({
    servers: v.array(text),
    domains: v.array(v.object({ name: text, routingOnly: v.boolean() })),
    isConfined: v.boolean(),
  });
  return {
    'set sysctl': { key: text, from: v.nullable(text), to: text },
    'write file': { path: text, from: nullable(text, 'The old content; null for a new file.'), to: text },
    'remove file': { path: text, from: text },
    'claim links': { manager, bridge: text, from: v.nullable(text), to: text },
    'release links': { manager, bridge: text, from: text },
    'set mode': { bridge: text, path: text, from: integer, to: integer },
    'tell resolved': { bridge: text, from: v.nullable(names), to: names },
    'revert resolved': { bridge: text },
    'tell NetworkManager': { bridge: text, from: v.nullable(text), to: text },
    'forget NetworkManager': { bridge: text },
  };
}

function fileUnit({ path }: { readonly path: string }, bridge: string): Unit {
  return path === dnsmasqPaths(bridge).conf ? { kind: 'dnsmasq', bridge } : { kind: 'file', path };
}

function managerUnit({
  manager,
  bridge,
}: {
  readonly manager: LinkManagerName;
  readonly bridge: string;
}): Unit {
  return { kind: 'file', path: linkManagers[manager].path(bridge) };
}

export function planManagers(
  { bridge, managerFiles: wanted }: DesiredNetwork,
  observed: ObservedNetwork,
): HostStep[] {
  return linkManagerNames.flatMap((manager): HostStep[] => {
    const from = observed.managerFiles.get(manager) ?? null;
    const to = wanted.get(manager) ?? null;
    if (from === to) return [];
    if (to !== null) return [{ kind: 'claim links', manager, bridge, from, to }];
    return from === null ? [] : [{ kind: 'release links', manager, bridge, from }];
  });
}

export function planSysctls(
  desired: ReadonlyMap<string, string>,
  observed: ReadonlyMap<string, string>,
): HostStep[] {
  return [...desired].flatMap(([key, to]) => {
    const from = observed.get(key) ?? null;
    return from === to ? [] : [{ kind: 'set sysctl', key, from, to } as const];
  });
}

/** Adds what is missing, and takes the right to write from all but the owner. */
export function planModes({ bridge, modes }: DesiredNetwork, observed: ObservedNetwork): HostStep[] {
  return [...modes].flatMap(([path, required]) => {
    const from = observed.modes.get(path) ?? null;
    const to = from === null ? null : (from | required) & ~0o022;
    return from === null || to === null || from === to
      ? []
      : [{ kind: 'set mode', bridge, path, from, to } as const];
  });
}

export function planFile(path: string, to: string | null, from: string | null): HostStep[] {
  if (to === from) return [];
  if (to !== null) return [{ kind: 'write file', path, from, to }];
  return from === null ? [] : [{ kind: 'remove file', path, from }];
}
