// The doctor's checks, as they are made.
import {
  Alert,
  Button,
  ClipboardCopy,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Spinner,
} from '@patternfly/react-core';
import { useEffect, useState } from 'react';
import { doctor } from '../commands.ts';
import { addLines, bySubject, type CheckItem, type Checklist, emptyChecklist } from '../model/doctor.ts';
import { stateIcon } from './icons.tsx';

interface Props {
  /** Null for the host and its networks alone. */
  readonly machine: string | null;
  readonly fix: boolean;
  onFix(): void;
  onClose(): void;
}

/** The dialog: begins to check when it opens. */
export function DoctorDialog({ machine, fix, onFix, onClose }: Props) {
  const [list, setList] = useState<Checklist>(emptyChecklist);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    let isOpen = true;
    setList(emptyChecklist);
    const add = (text: string) => {
      if (isOpen) setList(before => addLines(before, text));
    };
    doctor({ machine, fix }, add).catch((error: Error) => {
      if (isOpen) setFailure(error.message);
    });
    return () => {
      isOpen = false;
    };
  }, [machine, fix]);
  const { checks, result } = list;
  const isRunning = result === null && failure === null;
  const isRepairable = checks.some(check => check.state === 'fail' && check.fix?.ours === true);
  return (
    <Modal isOpen variant="large" onClose={onClose} aria-labelledby="doctor-title">
      <ModalHeader
        title={machine === null ? 'Doctor' : `Doctor: ${machine}`}
        labelId="doctor-title"
        description="The first failure is the cause of those below it, as far as it can be seen."
      />
      <ModalBody tabIndex={0} aria-label="Checks" aria-live="polite">
        {failure === null ? null : <Alert variant="danger" isInline title={failure} />}
        {result === null ? null : (
          <Alert
            variant={result.well ? 'success' : 'danger'}
            isInline
            title={result.well ? 'No check failed' : 'Something failed'}
          >
            {result.repaired.map(text => (
              <div key={text}>repaired: {text}</div>
            ))}
          </Alert>
        )}
        {bySubject(checks).map(([about, own]) => (
          <section key={about}>
            <strong className="virlan-break">{about}</strong>
            <ul className="virlan-list">
              {own.map(check => (
                <CheckView key={`${check.check} ${check.seen}`} check={check} />
              ))}
            </ul>
          </section>
        ))}
        {isRunning ? (
          <div>
            <Spinner size="md" aria-label="Checking" /> {fix ? 'Repairing and checking …' : 'Checking …'}
          </div>
        ) : null}
      </ModalBody>
      <ModalFooter>
        {!isRunning && isRepairable && !fix ? <Button onClick={onFix}>Repair</Button> : null}
        <Button variant="link" onClick={onClose}>
          Close
        </Button>
      </ModalFooter>
    </Modal>
  );
}

function CheckView({ check: { check, state, seen, fix } }: { readonly check: CheckItem }) {
  return (
    <li>
      {stateIcon(state)}
      <div className="virlan-break">
        <span className="virlan-mono">{check}</span> {seen}
        {state === 'ok' || state === 'skipped' || fix === null ? null : (
          <ClipboardCopy isReadOnly isCode hoverTip="Copy" clickTip="Copied">
            {`sudo ${fix.command}`}
          </ClipboardCopy>
        )}
      </div>
    </li>
  );
}
