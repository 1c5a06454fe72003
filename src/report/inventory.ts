// The machines as a dynamic inventory of Ansible:
//   {"_meta": {"hostvars": {"web": {"ansible_host": "192.168.100.155", …}}}, "k8s_br0": {"hosts": ["web"]}, …}
// Ansible evaluates each text of an inventory as a template of Jinja, which can run commands, so that no hostile
// text may be in it. Pure.
import type { MachineStatus } from './machines.ts';
import type { Status } from './status.ts';

export interface Inventory {
  readonly _meta: { readonly hostvars: Readonly<Record<string, HostVars>> };
  readonly all: { readonly children: readonly string[] };
  readonly [group: string]: object;
}

/** The variables of one machine. */
export interface HostVars {
  /** The address of the first NIC that has one. */
  readonly ansible_host?: string;
  /** Null for a name that is not plain text. */
  readonly virlan_name: string | null;
  readonly virlan_uuid: string;
  readonly virlan_state: MachineStatus['state'];
  readonly virlan_nics: readonly {
    readonly network: string;
    readonly nic: number;
    readonly mac: string;
    readonly ip: string | null;
    readonly hostname: string | null;
    readonly domain: string;
    readonly aliases: readonly string[];
    readonly lease: string | null;
  }[];
}

/** A NIC with its network. */
interface Placed extends MachineStatus {
  readonly network: string;
  readonly domain: string;
}

const stateGroups: Readonly<Record<MachineStatus['state'], string>> = {
  running: 'virlan_running',
  'shut off': 'virlan_shut_off',
  undefined: 'virlan_undefined',
};

/** Returns the inventory of all machines, with a group for each network and each state. */
export function inventoryOf({ networks }: Status): Inventory {
  const nics = networks.flatMap(({ name: network, domain, machines }) =>
    machines.map((machine): Placed => ({ ...machine, network, domain })),
  );
  const names = hostNames(nics);
  const hostsOf = (isIn: (nic: Placed) => boolean) => [
    ...new Set(nics.filter(isIn).map(({ uuid }) => names.get(uuid) ?? uuid)),
  ];
  const groups = [
    ...groupNames(networks.map(({ name }) => name)).map(
      ([name, group]) => [group, hostsOf(({ network }) => network === name)] as const,
    ),
    ...Object.entries(stateGroups).map(
      ([state, group]) => [group, hostsOf(nic => nic.state === state)] as const,
    ),
  ];
  const hostvars = [...names].map(([uuid, name]) => [name, varsOf(nics.filter(nic => nic.uuid === uuid))]);
  return {
    _meta: { hostvars: Object.fromEntries(hostvars) },
    all: { children: groups.map(([group]) => group) },
    ...Object.fromEntries(groups.map(([group, hosts]) => [group, { hosts }])),
  };
}

/** Returns, by UUID, the name of each machine in the inventory: its own, its host name, or its UUID. */
function hostNames(nics: readonly Placed[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  // Machines with plain names first, so that none of the others takes the name of one.
  for (const isPlainTurn of [true, false]) {
    for (const { uuid, name, hostname } of nics) {
      if (names.has(uuid) || isPlain(name) !== isPlainTurn) continue;
      const chosen = [isPlainTurn ? name : hostname, uuid].find(each => each !== null && !taken.has(each));
      names.set(uuid, chosen ?? uuid);
      taken.add(chosen ?? uuid);
    }
  }
  return names;
}

/** Returns whether a name means nothing else to Ansible: no pattern, no range and no template. */
function isPlain(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$/.test(name) && !reserved.includes(name);
}

/** Words that Ansible has another meaning for. */
const reserved = ['all', 'ungrouped', 'localhost', '_meta'];

/** Returns the groups of networks: Ansible wants them in the form of variables. */
function groupNames(networks: readonly string[]): (readonly [network: string, group: string])[] {
  const taken = new Set<string>([...reserved, ...Object.values(stateGroups)]);
  return networks.map(network => {
    const form = network.replace(/[^A-Za-z0-9_]/g, '_').replace(/^(?=\d)/, '_');
    let group = form;
    for (let count = 2; taken.has(group); count++) group = `${form}_${count}`;
    taken.add(group);
    return [network, group];
  });
}

function varsOf(nics: readonly Placed[]): HostVars {
  const [first] = nics;
  if (first === undefined) throw new Error('a machine without a NIC is not in the status');
  const address = nics.map(({ ip, lease }) => ip ?? lease?.ip).find(ip => ip !== undefined);
  return {
    ...(address === undefined ? {} : { ansible_host: address }),
    virlan_name: isPlain(first.name) ? first.name : null,
    virlan_uuid: first.uuid,
    virlan_state: first.state,
    virlan_nics: nics.map(({ network, nic, mac, ip, hostname, domain, aliases, lease }) => ({
      ...{ network, nic, mac, ip, hostname, domain, aliases },
      lease: lease?.ip ?? null,
    })),
  };
}
