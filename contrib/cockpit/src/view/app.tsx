// The page: its header, one network at a time, and what is open in front of them.
import {
  Button,
  Flex,
  Label,
  Page,
  PageSection,
  Tab,
  Tabs,
  TabTitleIcon,
  TabTitleText,
  Title,
} from '@patternfly/react-core';
import { useEffect, useState } from 'react';
import { notYet } from '../model/connection.ts';
import { healthOf } from '../model/health.ts';
import { followWatcher } from '../watcher.ts';
import { AbsenceNote } from './absence.tsx';
import { DoctorDialog } from './doctor.tsx';
import { healthIcon } from './icons.tsx';
import { MachineDialog } from './machine.tsx';
import { Network } from './network.tsx';
import { PlanDialog } from './plan.tsx';

/** The dialog that is open. A machine is named by its NIC's key, so that what it shows stays live. */
type Open =
  | { readonly kind: 'plan' }
  | { readonly kind: 'doctor'; readonly machine: string | null; readonly fix: boolean }
  | { readonly kind: 'machine'; readonly uuid: string; readonly nic: number };

/** The whole page. */
export function App() {
  const [connection, setConnection] = useState(notYet);
  const [chosen, setChosen] = useState<string | null>(null);
  const [open, setOpen] = useState<Open | null>(null);
  useEffect(() => followWatcher(setConnection), []);
  const { status, absence } = connection;
  const network = status?.networks.find(({ name }) => name === chosen) ?? status?.networks[0];
  const close = () => setOpen(null);
  const openDoctor = (machine: string | null, fix: boolean) => setOpen({ kind: 'doctor', machine, fix });
  const machine =
    open?.kind === 'machine'
      ? network?.machines.find(({ uuid, nic }) => uuid === open.uuid && nic === open.nic)
      : undefined;
  return (
    <Page className="no-masthead-sidebar" isContentFilled>
      <PageSection hasBodyWrapper={false} className="virlan-header">
        <Flex
          justifyContent={{ default: 'justifyContentSpaceBetween' }}
          alignItems={{ default: 'alignItemsCenter' }}
        >
          <Flex alignItems={{ default: 'alignItemsCenter' }} spaceItems={{ default: 'spaceItemsSm' }}>
            <Title headingLevel="h1" size="2xl">
              Virtual networks
            </Title>
            {status === null ? null : (
              <Label isCompact color={status.watcher.libvirt === 'connected' ? 'green' : 'orange'}>
                libvirt {status.watcher.libvirt}
              </Label>
            )}
          </Flex>
          {network === undefined ? null : (
            <Flex spaceItems={{ default: 'spaceItemsSm' }}>
              <Button variant="secondary" onClick={() => setOpen({ kind: 'plan' })}>
                Show changes
              </Button>
              <Button variant="secondary" onClick={() => openDoctor(null, false)}>
                Run the doctor
              </Button>
            </Flex>
          )}
        </Flex>
      </PageSection>
      {absence === null ? null : <AbsenceNote absence={absence} isStale={status !== null} />}
      {status === null || status.networks.length < 2 ? null : (
        <PageSection hasBodyWrapper={false} className="virlan-tabs">
          <Tabs
            activeKey={network?.name ?? ''}
            onSelect={(_, key) => setChosen(String(key))}
            aria-label="Networks"
          >
            {status.networks.map(each => (
              <Tab
                key={each.name}
                eventKey={each.name}
                title={
                  <>
                    <TabTitleIcon>{healthIcon(healthOf(each))}</TabTitleIcon>
                    <TabTitleText>{each.name}</TabTitleText>
                  </>
                }
              />
            ))}
          </Tabs>
        </PageSection>
      )}
      {network === undefined ? null : (
        <Network
          key={network.name}
          network={network}
          notes={network === status?.networks[0] ? (status?.notes ?? []) : []}
          onDoctor={fix => openDoctor(null, fix)}
          onMachine={(uuid, nic) => setOpen({ kind: 'machine', uuid, nic })}
        />
      )}
      {open?.kind === 'plan' && network !== undefined ? (
        <PlanDialog network={network.name} onClose={close} />
      ) : null}
      {open?.kind === 'doctor' ? (
        <DoctorDialog
          key={String(open.fix)}
          machine={open.machine}
          fix={open.fix}
          onFix={() => openDoctor(open.machine, true)}
          onClose={close}
        />
      ) : null}
      {machine !== undefined && network !== undefined ? (
        <MachineDialog
          machine={machine}
          network={network}
          onDoctor={() => openDoctor(machine.name, false)}
          onClose={close}
        />
      ) : null}
    </Page>
  );
}
