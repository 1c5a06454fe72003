// The forwards of a machine: listed, added and removed.
import {
  Alert,
  Button,
  Form,
  FormGroup,
  FormSelect,
  FormSelectOption,
  Grid,
  GridItem,
  Label,
  TextInput,
} from '@patternfly/react-core';
import { useState } from 'react';
import type { ForwardStatus, MachineStatus } from '../../../../src/report/machines.ts';
import { changeForward } from '../commands.ts';
import { emptyForward, type ForwardForm, forwardText, isComplete } from '../model/forward.ts';
import { useAction } from './use-action.ts';

const fields = [
  { name: 'port', label: 'Port of the host', placeholder: '', columns: 2 },
  { name: 'to', label: 'Port of the machine', placeholder: 'the same', columns: 3 },
  { name: 'from', label: 'From', placeholder: 'everybody', columns: 3 },
] as const;

/** The list and the form. What is changed appears in the list when the watcher reports it. */
export function Forwards({ machine: { name, forwards } }: { readonly machine: MachineStatus }) {
  const [form, setForm] = useState<ForwardForm>(emptyForward);
  const action = useAction();
  const set = (change: Partial<ForwardForm>) => setForm({ ...form, ...change });
  const add = async () => {
    if (await action.run(() => changeForward('add', name, forwardText(form)))) setForm(emptyForward);
  };
  return (
    <>
      {action.error === null ? null : <Alert variant="danger" isInline title={action.error} />}
      <ul className="virlan-list" aria-label="Port forwards">
        {forwards.map(each => (
          <ForwardItem
            key={each.forward}
            forward={each}
            isDisabled={action.isRunning}
            onRemove={() => void action.run(() => changeForward('remove', name, each.forward))}
          />
        ))}
        {forwards.length === 0 ? <li>None: no port of the host leads to this machine.</li> : null}
      </ul>
      <Form
        onSubmit={event => {
          event.preventDefault();
          void add();
        }}
      >
        <Grid hasGutter>
          <GridItem span={6} md={2}>
            <FormGroup label="Protocol" fieldId="forward-protocol">
              <FormSelect
                id="forward-protocol"
                value={form.protocol}
                onChange={(_, value) => set({ protocol: value as ForwardForm['protocol'] })}
              >
                <FormSelectOption value="tcp" label="TCP" />
                <FormSelectOption value="udp" label="UDP" />
              </FormSelect>
            </FormGroup>
          </GridItem>
          {fields.map(({ name, label, placeholder, columns }) => (
            <GridItem key={name} span={6} md={columns}>
              <FormGroup label={label} fieldId={`forward-${name}`}>
                <TextInput
                  id={`forward-${name}`}
                  value={form[name]}
                  placeholder={placeholder}
                  onChange={(_, text) => set({ [name]: text })}
                />
              </FormGroup>
            </GridItem>
          ))}
          <GridItem span={12} md={2} className="virlan-form-button">
            <Button
              type="submit"
              variant="secondary"
              isDisabled={!isComplete(form) || action.isRunning}
              isLoading={action.isRunning}
            >
              Add
            </Button>
          </GridItem>
        </Grid>
      </Form>
    </>
  );
}

interface ItemProps {
  readonly forward: ForwardStatus;
  readonly isDisabled: boolean;
  onRemove(): void;
}

function ForwardItem({ forward: { forward, source, active, problem }, isDisabled, onRemove }: ItemProps) {
  return (
    <li>
      <Label isCompact color={active ? 'blue' : problem === null ? 'grey' : 'orange'}>
        {active ? 'active' : problem === null ? 'while it runs' : 'not active'}
      </Label>
      <span className="virlan-break">
        <span className="virlan-mono">{forward}</span>
        {source === 'metadata' ? null : ` (${source})`}
        {problem === null ? null : `: ${problem}`}
      </span>
      {source === 'metadata' ? (
        <Button
          variant="link"
          isInline
          isDanger
          isDisabled={isDisabled}
          onClick={onRemove}
          aria-label={`Remove ${forward}`}
        >
          Remove
        </Button>
      ) : null}
    </li>
  );
}
