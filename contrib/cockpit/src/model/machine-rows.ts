// The table of machines: its rows, their order, and which of them are shown. Pure.
import type { MachineStatus, NetworkStatus } from '../../../../src/report/status.ts';

/** A row: one NIC of one machine. Names in it are hostile. */
export interface MachineRow {
  readonly key: string;
  readonly machine: MachineStatus;
  readonly name: string;
  /** All names that resolve to it. */
  readonly names: string;
  readonly address: string;
  readonly lease: string;
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
  readonly state: 'all' | MachineStatus['state'] | 'problems';
}

/** Returns the rows of a network. */
export function rowsOf({ machines }: NetworkStatus): MachineRow[] {
  return machines.map(machine => {
    const { uuid, nic, ip, lease, hostname, aliases, guard } = machine;
    return {
      key: `${uuid} ${nic}`,
      machine,
      name: nic === 0 ? machine.name : `${machine.name} (NIC ${nic})`,
      names: [...(hostname === null ? [] : [hostname]), ...aliases].join(', '),
      address: ip ?? lease?.ip ?? '',
      lease: leaseText(machine),
      guard: guard.group === null ? guard.mode : `${guard.mode}, group ${guard.group}`,
      problems: problemsOf(machine),
    };
  });
}

/** Returns when a lease ends; an address that is not the reserved one is named. */
function leaseText({ lease, ip }: MachineStatus): string {
  if (lease === null) return '';
  const until = lease.expires === null ? 'for ever' : lease.expires;
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
  if (state === 'all') return true;
  return state === 'problems' ? problems.length > 0 : machine.state === state;
}

function searched({ name, names, address, lease, guard, machine }: MachineRow): string {
  const forwards = machine.forwards.map(({ forward }) => forward);
  return [name, names, address, lease, guard, machine.mac, machine.state, ...forwards]
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
      return row.machine.state;
    case 'mac':
      return row.machine.mac;
    case 'address':
      return row.address;
    case 'lease':
      return row.lease;
    case 'forwards':
      return String(row.machine.forwards.length);
    case 'guard':
      return row.guard;
  }
}
