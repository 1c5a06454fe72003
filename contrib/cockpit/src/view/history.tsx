// The history of a machine, and why it has its address.
import { Spinner } from '@patternfly/react-core';
import { useEffect, useState } from 'react';
import { explain, readLog } from '../commands.ts';
import { type HistoryEntry, historyOf } from '../model/history.ts';
import { stateIcon } from './icons.tsx';
import { localTime } from './time.ts';

interface Props {
  readonly uuid: string;
  readonly name: string;
  readonly nic: number;
  readonly network: string;
}

const states = { info: 'ok', warning: 'warn', error: 'fail' } as const;

/** Reads the log and the decisions when it is shown. */
export function History({ uuid, name, nic, network }: Props) {
  const [entries, setEntries] = useState<readonly HistoryEntry[] | null>(null);
  const [reasons, setReasons] = useState<readonly string[]>([]);
  useEffect(() => {
    let isShown = true;
    void readLog().then(log => isShown && setEntries(historyOf(log, uuid, network)));
    explain(name, network, nic).then(
      why => isShown && setReasons(why),
      // A machine without a reservation has no reasons.
      () => {},
    );
    return () => {
      isShown = false;
    };
  }, [uuid, name, nic, network]);
  if (entries === null) return <Spinner size="md" aria-label="Reading the log" />;
  return (
    <>
      <ul className="virlan-list" aria-label="History">
        {entries.map(({ time, level, text, details }) => (
          <li key={`${time} ${text} ${details.join(' ')}`}>
            {stateIcon(states[level])}
            <span className="virlan-break">
              {localTime(time)}: {text}
              {details.length === 0 ? null : <span className="virlan-mono"> {details.join(', ')}</span>}
            </span>
          </li>
        ))}
        {entries.length === 0 ? <li>The log has nothing about it.</li> : null}
      </ul>
      {reasons.length === 0 ? null : (
        <details>
          <summary>Why it has this address</summary>
          <ul className="virlan-list">
            {reasons.map(reason => (
              <li key={reason} className="virlan-break">
                {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
