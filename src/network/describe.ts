import { formatIp } from '../address/ip.ts';
import { dnsmasqPaths } from '../dnsmasq/conf.ts';
import { tableName } from '../firewall/nftables.ts';
import { describeLine } from '../other-firewalls/desired.ts';
import { formatAddress, formatDestination, type Step } from './plan.ts';
import type { Backend } from './state.ts';

/** A step as a person would want to read it. */
export interface Description {
  readonly sign: '+' | '~' | '-';
  readonly subject: string;
  readonly detail: string;
  /** What the step is made of, where one line does not say it. */
  readonly lines: readonly string[];
}

export function describeStep(step: Step): Description {
  const line = (
    sign: Description['sign'],
    subject: string,
    detail: string,
    lines: readonly string[] = [],
  ) => ({
    sign,
    subject,
    detail,
    lines,
  });
  switch (step.do) {
    case 'add bridge': {
      const { mac, mtu, stp } = step.state;
      return line('+', `bridge ${step.link}`, `${mac}, MTU ${mtu}, STP ${stp ? 'on' : 'off'}`);
    }
    case 'add dummy':
      return line('+', `dummy NIC ${step.link}`, step.state.mac);
    case 'remove link':
      return line('-', `${step.type === 'dummy' ? 'dummy NIC' : 'bridge'} ${step.link}`, '');
    case 'set link':
      return describeLinkChange(step);
    case 'add address':
    case 'remove address': {
      const broadcast =
        step.address.broadcast === null ? '' : `, broadcast ${formatIp(step.address.broadcast)}`;
      return line(
        step.do === 'add address' ? '+' : '-',
        `address on ${step.link}`,
        `${formatAddress(step.address)}${broadcast}`,
      );
    }
    case 'add route':
      return line('+', `route on ${step.link}`, formatDestination(step.address));
    case 'set sysctl':
      return line('~', step.key, `${step.from === null ? '' : `${step.from} → `}${step.to}`);
    case 'write file':
      return line(step.from === null ? '+' : '~', step.path, '', compareText(step.from, step.to));
    case 'remove file':
      return line('-', step.path, '');
    case 'load rules': {
      const sign = step.drift.length === 0 ? '+' : '~';
      return line(
        sign,
        `firewall (${step.backend})`,
        describeRules(step.backend, step.bridge, step.rules),
        step.drift,
      );
    }
    case 'remove rules':
      return line('-', `firewall (${step.backend})`, ownPlace(step.backend, step.bridge));
    case 'allow in':
    case 'withdraw from': {
      const count = `${step.lines.length} ${step.lines.length === 1 ? 'line' : 'lines'}`;
      const [sign, detail] =
        step.do === 'allow in'
          ? (['+', `lets ${step.bridge} pass, ${count}`] as const)
          : (['-', `forgets ${step.bridge}, ${count}`] as const);
      const lines = step.lines.map(each => describeLine(step.firewall, each));
      return line(sign, step.firewall, detail, lines);
    }
    case 'write reservations': {
      const lines = [...step.missing.map(text => `+ ${text}`), ...step.stale.map(text => `- ${text}`)];
      return line('~', dnsmasqPaths(step.bridge).hostsfile, `${lines.length} of its lines`, lines);
    }
    case 'start dnsmasq':
      return line('+', 'dnsmasq', `DHCP and DNS on ${step.bridge}`);
    case 'stop dnsmasq':
      return line('-', 'dnsmasq', `process ${step.pid}`);
  }
}

function describeLinkChange({ link, attribute, from, to }: Extract<Step, { do: 'set link' }>): Description {
  if (attribute === 'bridge') {
    const detail = to === '' ? `out of ${from}` : `into ${to}${from === '' ? '' : `, out of ${from}`}`;
    return { sign: '~', subject: link, detail, lines: [] };
  }
  return {
    sign: '~',
    subject: `${attribute === 'state' ? 'link' : attribute} of ${link}`,
    detail: `${from} → ${to}`,
    lines: [],
  };
}

function describeRules(backend: Backend, bridge: string, script: string): string {
  const rules = script
    .split('\n')
    .filter(line => (backend === 'nftables' ? /^\t\t(?!type )/ : /^-A /).test(line));
  return `${ownPlace(backend, bridge)}, ${rules.length} ${rules.length === 1 ? 'rule' : 'rules'}`;
}

function ownPlace(backend: Backend, bridge: string): string {
  return backend === 'nftables' ? `table ${tableName(bridge)}` : `chains VIRLAN-…-${bridge}`;
}

/** Lines that come and go; nothing for a file that is new as a whole. */
function compareText(from: string | null, to: string): string[] {
  if (from === null) return [];
  const [before, after] = [from.split('\n'), to.split('\n')];
  return [
    ...before.filter(line => !after.includes(line)).map(line => `- ${line}`),
    ...after.filter(line => !before.includes(line)).map(line => `+ ${line}`),
  ];
}
