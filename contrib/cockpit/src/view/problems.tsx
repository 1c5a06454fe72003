// The problems of a network, each with a button where virlan repairs it, and a command to copy where it does not.
import { Alert, AlertActionLink, AlertGroup, ClipboardCopy } from '@patternfly/react-core';
import type { Fault, NetworkStatus } from '../../../../src/report/status.ts';
import { up } from '../commands.ts';
import { isSevere } from '../model/health.ts';
import { useAction } from './use-action.ts';

interface Props {
  readonly network: NetworkStatus;
  onDoctor(fix: boolean): void;
}

/** The list of problems; nothing without any. */
export function Problems({ network, onDoctor }: Props) {
  const repair = useAction();
  const { faults, name } = network;
  if (faults.length === 0 && repair.error === null) return null;
  return (
    <AlertGroup className="virlan-problems" isLiveRegion aria-label="Problems">
      {repair.error === null ? null : (
        <Alert variant="danger" isInline title={`The repair failed: ${repair.error}`} />
      )}
      {faults.map(fault => (
        <Alert
          key={`${fault.code} ${fault.text}`}
          variant={isSevere(fault) ? 'danger' : 'warning'}
          isInline
          title={fault.text}
          actionLinks={
            <Remedy
              fault={fault}
              isRunning={repair.isRunning}
              onRepair={() => void repair.run(() => up(name))}
              onDoctor={() => onDoctor(false)}
            />
          }
        >
          {fault.fix === null || fault.fix.ours || !fault.fix.mends ? null : (
            <ClipboardCopy isReadOnly isCode hoverTip="Copy" clickTip="Copied">
              {`sudo ${fault.fix.command}`}
            </ClipboardCopy>
          )}
        </Alert>
      ))}
    </AlertGroup>
  );
}

interface RemedyProps {
  readonly fault: Fault;
  readonly isRunning: boolean;
  onRepair(): void;
  onDoctor(): void;
}

function Remedy({ fault, isRunning, onRepair, onDoctor }: RemedyProps) {
  if (fault.fix?.ours === true)
    return (
      <AlertActionLink onClick={onRepair} isDisabled={isRunning}>
        {isRunning ? 'Repairing …' : 'Repair'}
      </AlertActionLink>
    );
  return fault.fix?.mends === false ? (
    <AlertActionLink onClick={onDoctor}>Find out why</AlertActionLink>
  ) : null;
}
