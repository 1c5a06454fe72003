// libvirt's file about a running machine, for a guest in a network namespace.
import { mkdirSync, writeFileSync } from 'node:fs';
import { domainXml, type Guest } from './host.ts';

export const runningDomains = '/run/libvirt/qemu';

/** Makes libvirt's file about a running machine that has a guest's port as its tap. */
export function runs({ name, mac, port }: Guest, elements = ''): void {
  const xml = domainXml({ name, uuid: uuidOf(mac), nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
  const running = xml.replace('<model', `${elements}<target dev='${port}'/><model`);
  mkdirSync(runningDomains, { recursive: true });
  writeFileSync(`${runningDomains}/${name}.xml`, `<domstatus state='running'>${running}</domstatus>`);
}

function uuidOf(mac: string): string {
  return `00000000-0000-4000-8000-${mac.replaceAll(':', '')}`;
}
