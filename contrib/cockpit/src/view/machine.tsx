// One machine: what virlan knows about it, its forwards, and its history.
import {
  Alert,
  Button,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Title,
} from '@patternfly/react-core';
import type { MachineStatus } from '../../../../src/report/machines.ts';
import type { NetworkStatus } from '../../../../src/report/status.ts';
import { adopt, forget } from '../commands.ts';
import { Forwards } from './forwards.tsx';
import { History } from './history.tsx';
import { localTime } from './time.ts';
import { useAction } from './use-action.ts';

interface Props {
  readonly machine: MachineStatus;
  readonly network: NetworkStatus;
  onDoctor(): void;
  onClose(): void;
}

/** The dialog about a machine. */
export function MachineDialog({ machine, network, onDoctor, onClose }: Props) {
  const { name, nic, problem, refusedAliases, state, uuid } = machine;
  const action = useAction();
  return (
    <Modal isOpen variant="large" onClose={onClose} aria-labelledby="machine-title">
      <ModalHeader title={nic === 0 ? name : `${name} (NIC ${nic})`} labelId="machine-title" />
      <ModalBody tabIndex={0} aria-label="Machine">
        {[...(problem === null ? [] : [problem]), ...refusedAliases.map(refused => refused.problem)].map(
          text => (
            <Alert key={text} variant="warning" isInline title={text} />
          ),
        )}
        {action.error === null ? null : <Alert variant="danger" isInline title={action.error} />}
        <DescriptionList isCompact columnModifier={{ default: '2Col' }}>
          {factsOf(machine, network).map(([term, value]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription className="virlan-break">{value}</DescriptionListDescription>
            </DescriptionListGroup>
          ))}
        </DescriptionList>
        <Title headingLevel="h3" size="md" className="virlan-heading">
          Port forwards
        </Title>
        <Forwards machine={machine} />
        <Title headingLevel="h3" size="md" className="virlan-heading">
          History
        </Title>
        <History uuid={uuid} name={name} nic={nic} network={network.name} />
      </ModalBody>
      <ModalFooter>
        <Button variant="secondary" onClick={onDoctor}>
          Run the doctor
        </Button>
        <Button
          variant="secondary"
          isDisabled={action.isRunning}
          onClick={() => void action.run(() => adopt(name))}
        >
          Adopt the formula’s MAC
        </Button>
        {state === 'running' ? null : (
          <Button
            variant="danger"
            isDisabled={action.isRunning}
            onClick={() => void action.run(() => forget(name)).then(done => done && onClose())}
          >
            Forget the reservation
          </Button>
        )}
        <Button variant="link" onClick={onClose}>
          Close
        </Button>
      </ModalFooter>
    </Modal>
  );
}

function factsOf(
  machine: MachineStatus,
  { domain }: NetworkStatus,
): (readonly [term: string, value: string])[] {
  const { state, mac, replacedMac, ip, hostname, aliases, lease, guard, tap, uuid } = machine;
  const expires = lease?.expires ?? null;
  const leased =
    lease === null ? 'none' : `${lease.ip}, ${expires === null ? 'infinite' : `until ${localTime(expires)}`}`;
  return [
    ['State', state],
    ['Reserved address', ip ?? 'none'],
    ['Lease', leased],
    ['MAC', replacedMac === null ? mac : `${mac}, was ${replacedMac}`],
    ['Names', [...(hostname === null ? [] : [`${hostname}.${domain}`]), ...aliases].join(', ') || 'none'],
    ['Guard', guard.group === null ? guard.mode : `${guard.mode}, group ${guard.group}`],
    ['Link on this host', tap ?? 'none'],
    ['UUID', uuid],
  ];
}
