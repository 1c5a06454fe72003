// Shows what "virlan up" would change, as a diff with a button that does it.
import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader, Spinner } from '@patternfly/react-core';
import { useCallback, useEffect, useState } from 'react';
import { plan, up } from '../commands.ts';
import { type Change, type ChangeGroup, readPlan } from '../model/plan.ts';
import { useAction } from './use-action.ts';

/** The dialog about a network. */
export function PlanDialog({ network, onClose }: { readonly network: string; onClose(): void }) {
  const [groups, setGroups] = useState<readonly ChangeGroup[] | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const apply = useAction();
  const read = useCallback(async () => {
    try {
      setGroups(readPlan(await plan(network)));
    } catch (error) {
      setFailure((error as Error).message);
    }
  }, [network]);
  useEffect(() => void read(), [read]);
  const isEmpty = groups?.length === 0;
  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="plan-title">
      <ModalHeader
        title="Changes"
        labelId="plan-title"
        description={`What ${network} on this host would become by virlan.ini`}
      />
      <ModalBody tabIndex={0} aria-label="Changes">
        {failure === null ? null : <Alert variant="danger" isInline title={failure} />}
        {apply.error === null ? null : <Alert variant="danger" isInline title={apply.error} />}
        {groups === null && failure === null ? <Spinner aria-label="Comparing" /> : null}
        {isEmpty ? 'Nothing to change: everything is as virlan.ini wants it.' : null}
        {groups?.map(({ title, changes }) => (
          <section key={title}>
            <strong>{title}</strong>
            <div className="virlan-diff">
              {changes.map(change => (
                <ChangeView key={change.text} change={change} />
              ))}
            </div>
          </section>
        ))}
      </ModalBody>
      <ModalFooter>
        {groups === null || isEmpty ? null : (
          <Button
            isLoading={apply.isRunning}
            isDisabled={apply.isRunning}
            onClick={() => void apply.run(() => up(network)).then(read)}
          >
            Apply
          </Button>
        )}
        <Button variant="link" onClick={onClose}>
          Close
        </Button>
      </ModalFooter>
    </Modal>
  );
}

const classes: Readonly<Record<Change['sign'], string>> = { '+': 'added', '-': 'removed', '~': 'changed' };

function ChangeView({ change: { sign, text, lines } }: { readonly change: Change }) {
  return (
    <>
      <div className={classes[sign]}>{text}</div>
      {lines.map(line => (
        <div key={line}>{`    ${line}`}</div>
      ))}
    </>
  );
}
