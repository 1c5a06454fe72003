// A forward as it is typed into the form, and as `virlan forward` takes it. Pure.

export interface ForwardForm {
  readonly protocol: 'tcp' | 'udp';
  /** A port of the host, or a range of them. */
  readonly port: string;
  /** Empty: the same as on the host. */
  readonly to: string;
  /** Empty: everybody. */
  readonly from: string;
}

export const emptyForward: ForwardForm = { protocol: 'tcp', port: '', to: '', from: '' };

/** Returns the forward as text, such as `tcp/8443:443 from 10.0.0.0/8`. `virlan forward` judges the rest. */
export function forwardText({ protocol, port, to, from }: ForwardForm): string {
  const target = to.trim() === '' ? '' : `:${to.trim()}`;
  const source = from.trim() === '' ? '' : ` from ${from.trim()}`;
  return `${protocol}/${port.trim()}${target}${source}`;
}

/** Returns whether the ports can be ports: a number, or a range of the host's ports without a target. */
export function isComplete({ port, to }: ForwardForm): boolean {
  const ports = port.trim().split('-');
  if (ports.length > 2 || !ports.every(isPort)) return false;
  return to.trim() === '' || isPort(to.trim());
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65535;
}
