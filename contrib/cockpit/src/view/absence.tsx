// Says why there is no status, or only an old one, and what to do.
import {
  Alert,
  Bullseye,
  ClipboardCopy,
  EmptyState,
  EmptyStateBody,
  EmptyStateFooter,
  PageSection,
  Spinner,
} from '@patternfly/react-core';
import type { Absence } from '../model/connection.ts';

interface Words {
  readonly title: string;
  readonly text: string;
  readonly command: string | null;
}

function wordsOf(absence: Absence): Words {
  switch (absence.kind) {
    case 'connecting':
      return { title: 'Connecting', text: 'Waiting for the watcher of virlan.', command: null };
    case 'no-privileges':
      return {
        title: 'Administrative access is needed',
        text: 'Only root may ask virlan. Turn on administrative access at the top of the page, then load it again.',
        command: null,
      };
    case 'no-watcher':
      return {
        title: 'The watcher of virlan does not run',
        text: 'Networks and machines go on without it, but nothing is repaired. This page connects as soon as it is there. Start it by this command:',
        command: 'sudo systemctl enable --now virlan',
      };
    case 'unreadable':
      return { title: 'The status cannot be read', text: absence.reason, command: 'sudo virlan status' };
    case 'failed':
      return { title: 'No connection to virlan', text: absence.reason, command: 'sudo virlan status' };
  }
}

/** An empty page with the reason; above a page that is `isStale`, a note. */
export function AbsenceNote({ absence, isStale }: { readonly absence: Absence; readonly isStale: boolean }) {
  const { title, text, command } = wordsOf(absence);
  const copy =
    command === null ? null : (
      <ClipboardCopy isReadOnly hoverTip="Copy" clickTip="Copied">
        {command}
      </ClipboardCopy>
    );
  if (isStale)
    return (
      <PageSection hasBodyWrapper={false}>
        <Alert variant="warning" isInline title={`${title}: what is below was true a moment ago`}>
          {text} {copy}
        </Alert>
      </PageSection>
    );
  return (
    <PageSection hasBodyWrapper={false} isFilled>
      <Bullseye>
        <EmptyState
          titleText={title}
          headingLevel="h2"
          {...(absence.kind === 'connecting' ? { icon: Spinner } : {})}
        >
          <EmptyStateBody>{text}</EmptyStateBody>
          <EmptyStateFooter>{copy}</EmptyStateFooter>
        </EmptyState>
      </Bullseye>
    </PageSection>
  );
}
