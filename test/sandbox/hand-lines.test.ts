// Lines of the hostsfile that are written by hand, with a real dnsmasq. Without libvirtd.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { suite } from 'uvu';
import { prepare } from './hook-calls.ts';
import { configure, dhcp, guest, installVirlan, remove, virlan } from './host.ts';

const lines = suite('lines by hand');
const hostsfile = '/var/lib/dnsmasq/k8s-br0/hostsfile';

lines(
  'a line that dnsmasq cannot follow leaves a machine its address; "ignore" is followed, and named',
  async () => {
    await installVirlan();
    await configure('[network.k8s-br0]\nstp = no\n');
    await virlan('up');
    const unusable = ['192.168.100.0', '192.168.100.1', '192.168.100.255', '10.0.0.9'];
    const machines = [...unusable, 'ignore', '12h'].map((content, index) => {
      const [name, mac] = [`line${index}`, `52:54:00:00:02:2${index}`];
      return { name, mac, line: `${mac},${content}\n` };
    });
    appendFileSync(hostsfile, machines.map(({ line }) => line).join(''));
    for (const { name, mac } of machines)
      await prepare({ name, nics: [{ type: 'bridge', source: 'k8s-br0', mac }] });
    const [status] = JSON.parse((await virlan('status', '--json')).stdout).networks;
    for (const { name, mac, line } of machines) {
      const machine = await guest(name, { mac });
      const { problem } = status.machines.find((each: { name: string }) => each.name === name);
      if (line.endsWith('ignore\n')) {
        await assert.rejects(dhcp(machine));
        assert.match(problem, /a line of the hostsfile tells dnsmasq to ignore its MAC/);
      } else if (line.endsWith('12h\n')) {
        assert.notEqual(await dhcp(machine), (await virlan('ip', name)).stdout, line);
        assert.match(problem, /a line of the hostsfile has its MAC .* and no address/);
      } else {
        assert.equal(await dhcp(machine), (await virlan('ip', name)).stdout, line);
        assert.match(
          problem,
          /a line of the hostsfile gives it .*, which no machine of this network can have/,
        );
      }
      await remove(machine);
    }
  },
);

lines.run();
