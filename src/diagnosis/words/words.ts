// Findings in words: the only place that turns a detail into a sentence and a command.
import type { Detail, DetailKind } from '../details.ts';
import type { Fix } from '../finding.ts';
import { etcdWords } from './etcd.ts';
import { hostWords } from './host.ts';
import { machineWords } from './machine.ts';
import { networkWords } from './network.ts';
import { peerWords } from './peers.ts';
import { probeWords } from './probe.ts';
import { reachWords } from './reach.ts';
import type { Words } from './row.ts';

const words: Words<DetailKind> = {
  ...hostWords,
  ...networkWords,
  ...peerWords,
  ...etcdWords,
  ...machineWords,
  ...reachWords,
  ...probeWords,
};

/** Returns a detail in one line of text. It may hold hostile text: use `forTerminal` to show it. */
export function seen<K extends DetailKind>(detail: Detail<K>): string {
  return words[detail.kind].seen(detail);
}

/** Returns the command that repairs a failure, or shows more about it; null where there is none. */
export function fixFor<K extends DetailKind>(detail: Detail<K>): Fix | null {
  return words[detail.kind].fix?.(detail) ?? null;
}
