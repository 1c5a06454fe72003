// One network: its facts, its problems, its picture and its machines.
import {
  Alert,
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Flex,
  Label,
  PageSection,
  Stack,
  StackItem,
} from '@patternfly/react-core';
import type { NetworkStatus } from '../../../../src/report/status.ts';
import { healthOf } from '../model/health.ts';
import { healthIcon } from './icons.tsx';
import { Machines } from './machines.tsx';
import { Peers, SharedLedger } from './peers.tsx';
import { PictureView } from './picture.tsx';
import { Problems } from './problems.tsx';
import { localTime } from './time.ts';

interface Props {
  readonly network: NetworkStatus;
  readonly notes: readonly string[];
  onDoctor(fix: boolean): void;
  onMachine(uuid: string, nic: number): void;
}

/** A network, as it is now. */
export function Network({ network, notes, onDoctor, onMachine }: Props) {
  const { name, up, mode, isolate } = network;
  return (
    <PageSection hasBodyWrapper={false} isFilled>
      <Stack hasGutter>
        <StackItem>
          <Card>
            <CardTitle>
              <Flex spaceItems={{ default: 'spaceItemsSm' }} alignItems={{ default: 'alignItemsCenter' }}>
                {healthIcon(healthOf(network))}
                <span>{name}</span>
                <Label isCompact color={up ? 'green' : 'red'}>
                  {up ? 'up' : 'down'}
                </Label>
                <Label isCompact>{mode}</Label>
                {isolate ? <Label isCompact>machines isolated</Label> : null}
              </Flex>
            </CardTitle>
            <CardBody>
              <Facts network={network} />
              <Problems network={network} onDoctor={onDoctor} />
              {notes.map(note => (
                <Alert key={note} variant="info" isInline isPlain title={note} />
              ))}
              {network.tunnel === null ? null : <Peers tunnel={network.tunnel} />}
              {network.shared === null ? null : <SharedLedger shared={network.shared} />}
              <PictureView network={network} />
            </CardBody>
          </Card>
        </StackItem>
        <StackItem>
          <Machines network={network} onMachine={onMachine} />
        </StackItem>
      </Stack>
    </PageSection>
  );
}

function Facts({ network }: { readonly network: NetworkStatus }) {
  const { subnet, gateway, bridge, domain, firewall, dnsmasq, probe, routeNeeded, otherFirewalls } = network;
  const facts: (readonly [term: string, value: string])[] = [
    ['Subnet', subnet],
    ['Gateway', `${gateway} on ${bridge}`],
    ['Domain', domain],
    ['Firewall', [firewall ?? 'none', ...otherFirewalls.map(other => other.name)].join(', beside ')],
    ['DHCP and DNS', dnsmasq.pid === null ? 'dnsmasq does not run' : `dnsmasq, process ${dnsmasq.pid}`],
    ['Last probe', probeText(probe)],
    ...(routeNeeded === null ? [] : [['Route that the LAN needs', routeNeeded] as const]),
  ];
  return (
    <DescriptionList isCompact columnModifier={{ default: '2Col', lg: '3Col' }}>
      {facts.map(([term, value]) => (
        <DescriptionListGroup key={term}>
          <DescriptionListTerm>{term}</DescriptionListTerm>
          <DescriptionListDescription>{value}</DescriptionListDescription>
        </DescriptionListGroup>
      ))}
    </DescriptionList>
  );
}

function probeText(probe: NetworkStatus['probe']): string {
  if (probe === null) return 'not yet';
  const result = probe.passed === null ? 'not sent' : probe.passed ? 'passed' : 'failed';
  return `${result}, ${localTime(probe.at)}${probe.passed === null ? `: ${probe.seen}` : ''}`;
}
