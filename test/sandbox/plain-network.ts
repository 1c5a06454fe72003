// A network made with ip and dnsmasq only, to test the test helpers without virlan.
import { mkdirSync } from 'node:fs';
import { execa } from 'execa';

/** Sets up a network like virlan's. Its bridge has no STP, so ports forward at once. */
export async function setUpPlainNetwork(): Promise<void> {
  await execa('ip', ['link', 'add', 'k8s-br0', 'type', 'bridge']);
  await execa('ip', ['address', 'add', '192.168.100.1/24', 'dev', 'k8s-br0']);
  await execa('ip', ['link', 'set', 'k8s-br0', 'up']);
  await execa('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const directory = '/var/lib/dnsmasq/k8s-br0';
  mkdirSync(directory, { recursive: true });
  const range = '--dhcp-range=192.168.100.2,192.168.100.254';
  const interfaces = ['--interface=k8s-br0', '--except-interface=lo', '--bind-dynamic', '--no-ping'];
  const files = ['--conf-file=/dev/null', '--user=root', `--dhcp-leasefile=${directory}/leases`];
  await execa('dnsmasq', [...interfaces, range, ...files]);
}
