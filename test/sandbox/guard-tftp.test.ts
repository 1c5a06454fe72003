// Machines that take up the TFTP of a network: the others boot all the same.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import { guardedGuest } from './guarded-guest.ts';
import { configure, dhcp, type Guest, installVirlan, run, virlan } from './host.ts';

const tftp = suite('guard, TFTP');
const gateway = '192.168.100.1';

/** Asks for the file as often as this, and acknowledges nothing. Returns how often it begins to come. */
async function begun(from: Guest, count: number): Promise<number> {
  const script = `import select, socket
waiting = {}
for _ in range(${count}):
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.sendto(b'\\0\\1kernel\\0octet\\0', ('${gateway}', 69))
    waiting[wire.fileno()] = wire
begun = 0
while waiting:
    found = select.select(list(waiting), [], [], 2)[0]
    if not found: break
    begun += len(found)
    for each in found: del waiting[each]
print(begun)`;
  return Number(await run(from, 'python3', '-c', script));
}

tftp('two machines that load without an end leave room for the others', async () => {
  await installVirlan();
  mkdirSync('/srv/tftp', { recursive: true, mode: 0o755 });
  writeFileSync('/srv/tftp/kernel', Buffer.alloc(4096), { mode: 0o644 });
  await configure('[network.k8s-br0]\nstp = no\ntftp = /srv/tftp\nboot = kernel\n');
  const { exitCode, stderr } = await virlan('up');
  assert.equal(`${stderr}${exitCode}`, '0');
  const [eve, mallory, bob] = [
    await guardedGuest('eve', { mac: '52:54:00:00:00:0e' }),
    await guardedGuest('mallory', { mac: '52:54:00:00:00:0c' }),
    await guardedGuest('bob', { mac: '52:54:00:00:00:0b' }),
  ];
  for (const each of [eve, mallory, bob]) await dhcp(each);
  assert.equal(await begun(bob, 1), 1);
  const taken = [await begun(eve, 200), await begun(mallory, 200)];
  assert.equal(await begun(bob, 1), 1, `${taken}`);
});

tftp.run();
