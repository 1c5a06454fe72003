// unrecorded.test.ts: tests what is taken for the host's earlier state where virlan may have been at work already.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { gatewayMac, linkMac } from '../../src/identity/formula.ts';
import { desiredHost } from '../../src/network/desired.ts';
import { ipForward } from '../../src/network/kernel/sysctl.ts';
import { type Objects, withoutOwn, withoutOwnSettings } from '../../src/network/own-marks.ts';
import { type Addition, type OriginalState, withAddition } from '../../src/network/records/original-state.ts';
import { joinWarnings, type NetworkWarning } from '../../src/network/warnings/warnings.ts';
import { bridgeWith, mac } from './builders.ts';

const unrecorded = suite('unrecorded');

const place = { name: 'lab', bridge: 'br1', machineId: 'abc' };
const own = '# Written by virlan: changes here are lost. Options of your own go into /etc\n';
const foreign = mac('52:54:00:00:99:01');

function objects(
  link: string | null,
  dummy: string | null,
  conf: string | null,
  pid: number | null,
): Objects {
  return {
    link: link === null ? null : { ...bridgeWith([]), mac: mac(link) },
    dummy: dummy === null ? null : { mac: mac(dummy), mtu: 1500, up: true, master: 'br1' },
    dnsmasq: { conf, pid },
  };
}

unrecorded('links with the MACs of the host, and a dnsmasq with a file of virlan, are its own', () => {
  const nic = linkMac('nic', 'abc', 'br1');
  const nothing = objects(null, null, null, null);
  for (const bridge of [linkMac('bridge', 'abc', 'br1'), gatewayMac('lab')])
    assert.deepEqual(withoutOwn(objects(bridge, nic, own, 7), place), nothing);
  // Its bridge was deleted, or its file.
  assert.deepEqual(withoutOwn(objects(null, nic, own, 7), place), nothing);
  assert.deepEqual(withoutOwn(objects(gatewayMac('lab'), null, null, 7), place), nothing);
  // Those of another bridge, network or host are not.
  for (const bridge of [linkMac('bridge', 'abc', 'br2'), gatewayMac('br1'), linkMac('bridge', 'x', 'br1')]) {
    const others = objects(bridge, linkMac('nic', 'abc', 'br2'), 'interface=br1\n', 7);
    assert.deepEqual(withoutOwn(others, place), others);
  }
  const mixed = objects(foreign, nic, null, 7);
  assert.deepEqual(withoutOwn(mixed, place), objects(foreign, null, null, 7));
});

unrecorded("virlan's own settings say nothing about earlier ones", () => {
  const { sysctls, sysctlFile } = desiredHost();
  const redirects = ['net.ipv4.conf.all.accept_redirects', '1'] as const;
  const made = { sysctls: new Map([...sysctls, redirects]), sysctlFile };
  const rest = { sysctls: new Map([redirects]), sysctlFile: null };
  assert.deepEqual(withoutOwnSettings(made, true), rest);
  // The file is there since an earlier boot, and may be that of another version.
  assert.deepEqual(withoutOwnSettings(made, false), rest);
  const later = `${sysctlFile}net.ipv4.conf.default.forwarding = 1\n`;
  assert.deepEqual(withoutOwnSettings({ ...made, sysctlFile: later }, false), rest);
  // The file could not be written.
  assert.deepEqual(withoutOwnSettings({ ...made, sysctlFile: null }, true), rest);
  const handMade = { ...made, sysctlFile: '# ours\n' };
  assert.deepEqual(withoutOwnSettings(handMade, false), handMade);
  const off = { sysctls: new Map([[ipForward, '0']]), sysctlFile };
  assert.deepEqual(withoutOwnSettings(off, true), { ...off, sysctlFile: null });
});

const addition: Addition = {
  host: { sysctls: new Map([[ipForward, '0']]), sysctlFile: null },
  bridge: 'br1',
  network: {
    name: 'lab',
    boot: 'b',
    link: null,
    dummy: null,
    sysctls: {},
    dnsmasq: { conf: null, running: false },
  },
};

unrecorded('a record gets what it lacks, and nothing in it is replaced in the same boot', () => {
  const first = withAddition(null, addition);
  assert.deepEqual(first, {
    sysctls: { [ipForward]: '0' },
    sysctlFile: null,
    networks: { br1: addition.network },
  });
  const sysctls = new Map([[ipForward, '1']]);
  const later = {
    ...addition,
    network: { ...addition.network, name: 'other' },
    host: { sysctls, sysctlFile: '' },
  };
  assert.equal(withAddition(first, later), first);
  const more = withAddition(first, { ...later, host: { sysctls: new Map([['a', '2']]), sysctlFile: '' } });
  assert.deepEqual(more, { ...first, sysctls: { [ipForward]: '0', a: '2' } });
});

unrecorded('at a later boot links are recorded anew, and a dnsmasq is still that of before', () => {
  const dnsmasq = { conf: 'interface=br1\n', running: true };
  const known: OriginalState = withAddition(null, { ...addition, network: { ...addition.network, dnsmasq } });
  const { networks } = withAddition(known, { ...addition, network: { ...addition.network, boot: 'c' } });
  assert.deepEqual(networks.br1, { ...addition.network, boot: 'c', dnsmasq: { ...dnsmasq, running: false } });
});

unrecorded('what neither of two parts could read is named once, whatever the second reason is', () => {
  const silent = (subject: 'iptables' | 'chains', message: string): NetworkWarning => ({
    kind: 'unread',
    unread: { subject, error: new Error(message) },
  });
  const other: NetworkWarning = { kind: 'guard-refused', bridge: 'br1' };
  const [first, again] = [silent('iptables', 'took too long'), silent('iptables', 'was killed')];
  const chains = silent('chains', 'took too long');
  assert.deepEqual(joinWarnings([first, other], [again, chains, other]), [first, other, chains, other]);
});

unrecorded.run();
