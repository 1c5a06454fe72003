// The table of a network's machines: sorted, filtered, and in pages, so that thousands of them are fluid.
import {
  Button,
  Card,
  CardBody,
  EmptyState,
  EmptyStateBody,
  FormSelect,
  FormSelectOption,
  Label,
  Pagination,
  SearchInput,
  Toolbar,
  ToolbarContent,
  ToolbarItem,
} from '@patternfly/react-core';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { useMemo, useState } from 'react';
import type { NetworkStatus } from '../../../../src/report/status.ts';
import {
  type Column,
  type Filter,
  filterRows,
  type MachineRow,
  type Order,
  rowsOf,
  sortRows,
} from '../model/machine-rows.ts';
import { stateIcon } from './icons.tsx';
import { localTime } from './time.ts';

const columns: readonly (readonly [column: Column, title: string])[] = [
  ['name', 'Machine'],
  ['state', 'State'],
  ['address', 'Address'],
  ['mac', 'MAC'],
  ['lease', 'Lease until'],
  ['forwards', 'Forwards'],
  ['guard', 'Guard'],
];

const states: readonly (readonly [state: Filter['state'], text: string])[] = [
  ['all', 'All machines'],
  ['running', 'Running'],
  ['shut off', 'Shut off'],
  ['problems', 'With problems'],
];

/** Is offered, too, where hosts share their ledgers. */
const elsewhere = ['elsewhere', 'On other hosts'] as const;

/** Most forwards that a cell lists. */
const maxForwards = 3;

interface Props {
  readonly network: NetworkStatus;
  onMachine(uuid: string, nic: number): void;
}

/** The machines of a network. */
export function Machines({ network, onMachine }: Props) {
  const [filter, setFilter] = useState<Filter>({ text: '', state: 'all' });
  const [order, setOrder] = useState<Order>({ column: 'name', direction: 'asc' });
  const [page, setPage] = useState(1);
  const [perPage, setPerPage] = useState(20);
  const rows = useMemo(() => rowsOf(network), [network]);
  const found = useMemo(() => sortRows(filterRows(rows, filter), order), [rows, filter, order]);
  const lastPage = Math.max(1, Math.ceil(found.length / perPage));
  // Machines may have gone since the page was chosen.
  const shownPage = Math.min(page, lastPage);
  const shown = found.slice((shownPage - 1) * perPage, shownPage * perPage);
  const changeFilter = (change: Partial<Filter>) => {
    setFilter({ ...filter, ...change });
    setPage(1);
  };
  return (
    <Card>
      <CardBody>
        <Toolbar>
          <ToolbarContent>
            <ToolbarItem>
              <SearchInput
                aria-label="Search machines"
                placeholder="Name, address, MAC, port …"
                value={filter.text}
                onChange={(_, text) => changeFilter({ text })}
                onClear={() => changeFilter({ text: '' })}
              />
            </ToolbarItem>
            <ToolbarItem>
              <FormSelect
                aria-label="State"
                value={filter.state}
                onChange={(_, state) => changeFilter({ state: state as Filter['state'] })}
              >
                {(network.shared === null ? states : [...states, elsewhere]).map(([state, text]) => (
                  <FormSelectOption key={state} value={state} label={text} />
                ))}
              </FormSelect>
            </ToolbarItem>
            <ToolbarItem variant="pagination">
              <Pagination
                isCompact
                itemCount={found.length}
                page={shownPage}
                perPage={perPage}
                onSetPage={(_, next) => setPage(next)}
                onPerPageSelect={(_, next) => setPerPage(next)}
              />
            </ToolbarItem>
          </ToolbarContent>
        </Toolbar>
        {found.length === 0 ? (
          <EmptyState
            titleText={rows.length === 0 ? 'No machines yet' : 'No machine is like that'}
            headingLevel="h3"
          >
            <EmptyStateBody>
              {rows.length === 0
                ? `A machine with a NIC on ${network.bridge} is listed here as soon as it is defined.`
                : 'Change the search or the state.'}
            </EmptyStateBody>
          </EmptyState>
        ) : (
          <Table variant="compact" aria-label={`Machines on ${network.name}`}>
            <Thead>
              <Tr>
                {columns.map(([column, title], index) => (
                  <Th
                    key={column}
                    sort={{
                      columnIndex: index,
                      sortBy: {
                        index: columns.findIndex(([each]) => each === order.column),
                        direction: order.direction,
                      },
                      onSort: (_, __, direction) => setOrder({ column, direction }),
                    }}
                  >
                    {title}
                  </Th>
                ))}
              </Tr>
            </Thead>
            <Tbody>
              {shown.map(row => (
                <Row key={row.key} row={row} onMachine={onMachine} />
              ))}
            </Tbody>
          </Table>
        )}
      </CardBody>
    </Card>
  );
}

function Row({ row, onMachine }: Pick<Props, 'onMachine'> & { readonly row: MachineRow }) {
  const { name, names, machine, state, mac, address, lease, forwards, guard, problems } = row;
  return (
    <Tr>
      <Td dataLabel="Machine">
        <span className="virlan-break">
          {problems.length === 0 ? null : <>{stateIcon('warn')} </>}
          {machine === null ? (
            name
          ) : (
            <Button variant="link" isInline onClick={() => onMachine(machine.uuid, machine.nic)}>
              {name}
            </Button>
          )}
          {names === '' || names === name ? null : <div className="virlan-names">{names}</div>}
        </span>
      </Td>
      <Td dataLabel="State">
        <Label isCompact color={machine === null ? 'blue' : state === 'running' ? 'green' : 'grey'}>
          {state}
        </Label>
      </Td>
      <Td dataLabel="Address">{address === '' ? '–' : address}</Td>
      <Td dataLabel="MAC">
        <span className="virlan-mono">{mac}</span>
      </Td>
      <Td dataLabel="Lease until">{lease === '' ? '–' : localTime(lease)}</Td>
      <Td dataLabel="Forwards">
        <Forwards forwards={forwards} />
      </Td>
      <Td dataLabel="Guard">
        <span className="virlan-break">{guard === '' ? '–' : guard}</span>
      </Td>
    </Tr>
  );
}

function Forwards({ forwards }: Pick<MachineRow, 'forwards'>) {
  if (forwards.length === 0) return '–';
  const more = forwards.length - maxForwards;
  return (
    <>
      {forwards.slice(0, maxForwards).map(({ forward, active, problem }) => (
        <Label key={forward} isCompact color={active ? 'blue' : problem === null ? 'grey' : 'orange'}>
          {forward}
        </Label>
      ))}
      {more > 0 ? ` and ${more} more` : null}
    </>
  );
}
