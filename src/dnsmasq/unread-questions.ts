// Tells by the kernel's table of UDP sockets whether questions wait that dnsmasq does not read, as where it hangs. A
// question that a firewall drops waits nowhere.
//
//   12: 0164A8C0:0035 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 4021 2 … 0
import { formatIp, type IpAddress } from '../address/ip.ts';

const dnsPort = '0035';

/**
 * Returns whether datagrams wait in a DNS socket of a gateway. `table` is the text of /proc/net/udp, which shows
 * addresses in the order of bytes of the host.
 */
export function hasUnreadQuestions(table: string, gateway: IpAddress, order: 'LE' | 'BE'): boolean {
  const bytes = formatIp(gateway)
    .split('.')
    .map(part => Number(part).toString(16).padStart(2, '0'));
  const address = (order === 'LE' ? bytes.reverse() : bytes).join('').toUpperCase();
  return table.split('\n').some(line => {
    const [, local, , , queues = ''] = line.trim().split(/\s+/);
    return local === `${address}:${dnsPort}` && /:0*[1-9A-F]/.test(queues);
  });
}
