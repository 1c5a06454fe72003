// The subjects of findings and decisions in words: `host`, `network k8s-br0`, `machine web`.
import type { Subject } from '../subject.ts';

/** Returns the name of a subject. It may hold hostile text: use `forTerminal` to show it. */
export function subjectText(subject: Subject): string {
  switch (subject.kind) {
    case 'host':
      return 'host';
    case 'network':
      return `network ${subject.name}`;
    case 'machine':
      return `machine ${subject.name}`;
    case 'nic':
      return `machine ${subject.machine} NIC ${subject.nic} (${subject.mac})`;
    case 'nic-on-network':
      return `machine ${subject.machine} NIC ${subject.nic} on ${subject.network}`;
  }
}
