// The table of machines: its rows, their order, and which of them are shown. Pure.
import type { RemoteMachine } from '../../../../src/report/cluster-status.ts';
import type { MachineStatus } from '../../../../src/report/machines.ts';
import type { NetworkStatus } from '../../../../src/report/status.ts';

/** A row: one NIC of one machine. Names in it are hostile. */
export interface MachineRow {
  readonly key: string;
  /** Null for a machine of another host. */
  readonly machine: MachineStatus | null;
  /** The state of a machine of this host, or the other host that has it. */
  readonly state: string;
  readonly name: string;
  /** All names that resolve to it. */
  readonly names: string;
  readonly mac: string;
  readonly address: string;
  readonly lease: string;
  readonly forwards: MachineStatus['forwards'];
  readonly guard: string;
  /** Everything that is wrong about it. */
  readonly problems: readonly string[];
}

export type Column = 'name' | 'state' | 'mac' | 'address' | 'lease' | 'forwards' | 'guard';

export interface Order {
  readonly column: Column;
  readonly direction: 'asc' | 'desc';
}

export interface Filter {
  /** Words, all of which a row has in any column. */
  readonly text: string;
  readonly state: 'all' | MachineStatus['state'] | 'problems' | 'elsewhere';
}

/** Returns the rows of a network: the machines of this host, and those of the hosts that share its ledger. */
export function rowsOf({ machines, shared }: NetworkStatus): MachineRow[] {
  return [...machines.map(ownRow), ...(shared?.machines ?? []).map(remoteRow)];
}

function ownRow(machine: MachineStatus): MachineRow {
  const { uuid, nic, ip, lease, hostname, aliases, guard } = machine;
  return {
    key: `${uuid} ${nic}`,
    machine,
    state: machine.state,
    name: nameOf(machine),
    names: [...(hostname === null ? [] : [hostname]), ...aliases].join(', '),
    mac: machine.mac,
    address: ip ?? lease?.ip ?? '',
    lease: leaseText(machine),
    forwards: machine.forwards,
    guard: guard.group === null ? guard.mode : `${guard.mode}, group ${guard.group}`,
    problems: problemsOf(machine),
  };
}

function remoteRow(machine: RemoteMachine): MachineRow {
  const { uuid, nic, ip, mac, hostname, host } = machine;
  return {
    // While a machine moves, both hosts may have it.
    key: `${uuid} ${nic} ${host}`,
    machine: null,
    state: `on ${host}`,
    name: nameOf(machine),
    names: hostname,
    mac,
    address: ip ?? '',
    lease: '',
    forwards: [],
    guard: '',
    problems: [],
  };
}

function nameOf({ name, nic }: { readonly name: string; readonly nic: number }): string {
  return nic === 0 ? name : `${name} (NIC ${nic})`;
}

/** Returns when a lease ends; an address that is not the reserved one is named. */
function leaseText({ lease, ip }: MachineStatus): string {
  if (lease === null) return '';
  const until = lease.expires === null ? 'infinite' : lease.expires;
  return lease.ip === ip || ip === null ? until : `${lease.ip} ${until}`;
}

function problemsOf({ problem, refusedAliases, forwards }: MachineStatus): string[] {
  return [
    ...(problem === null ? [] : [problem]),
    ...refusedAliases.map(refused => refused.problem),
    ...forwards.flatMap(forward => (forward.problem === null ? [] : [forward.problem])),
  ];
}

/** Returns the rows that a filter lets through. */
export function filterRows(rows: readonly MachineRow[], { text, state }: Filter): MachineRow[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return rows.filter(row => isInState(row, state) && words.every(word => searched(row).includes(word)));
}

function isInState({ machine, problems }: MachineRow, state: Filter['state']): boolean {
  switch (state) {
    case 'all':
      return true;
    case 'problems':
      return problems.length > 0;
    case 'elsewhere':
      return machine === null;
    case 'running':
    case 'shut off':
    case 'undefined':
      return machine?.state === state;
  }
}

function searched({ name, names, address, lease, guard, mac, state, forwards }: MachineRow): string {
  return [name, names, address, lease, guard, mac, state, ...forwards.map(({ forward }) => forward)]
    .join('\n')
    .toLowerCase();
}

const collator = new Intl.Collator('en', { numeric: true });

/** Returns the rows in an order; rows with equal cells are ordered by name. */
export function sortRows(rows: readonly MachineRow[], { column, direction }: Order): MachineRow[] {
  const sign = direction === 'asc' ? 1 : -1;
  const compare = (a: MachineRow, b: MachineRow) => collator.compare(cellOf(a, column), cellOf(b, column));
  return [...rows].sort((a, b) => sign * compare(a, b) || collator.compare(a.name, b.name));
}

function cellOf(row: MachineRow, column: Column): string {
  switch (column) {
    case 'name':
      return row.name;
    case 'state':
      return row.state;
    case 'mac':
      return row.mac;
    case 'address':
      return row.address;
    case 'lease':
      return row.lease;
    case 'forwards':
      return String(row.forwards.length);
    case 'guard':
      return row.guard;
  }
}
