// dhcp.test.ts: tests the encoder and decoder of DHCP messages.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { suite } from 'uvu';
import { decodeDhcp, dhcpType, encodeDhcp, encodeRelease } from '../../src/dnsmasq/dhcp.ts';
import { ip, mac } from './builders.ts';

const dhcp = suite('DHCP messages');
const server = ip('192.168.100.1');
const own = ip('192.168.100.254');

/** Returns a server's reply of this type, in the form that dnsmasq sends. */
function reply(type: number, ...options: number[]): Buffer {
  const message = encodeDhcp({ type, transaction: 7, mac: mac(1) });
  message[0] = 2;
  message.writeUInt32BE(own, 16);
  message.fill(0, 240);
  message.set([53, 1, type, ...options, 255], 240);
  return message;
}

dhcp('a request has the MAC, the address, the server and the broadcast flag', () => {
  const message = encodeDhcp({
    type: dhcpType.request,
    transaction: 0x01020304,
    mac: mac(1),
    ip: own,
    server,
  });
  assert.equal(message.length, 300);
  assert.equal(message.subarray(0, 12).toString('hex'), '010106000102030400008000');
  assert.equal(message.subarray(28, 34).toString('hex'), '525400000001');
  const options = '63825363 350103 330400000078 3204c0a864fe 3604c0a86401 ff'.replaceAll(' ', '');
  assert.equal(message.subarray(236, 236 + options.length / 2).toString('hex'), options);
});

dhcp('a release has its address in the header, and no requested address', () => {
  const client = { ip: own, hardwareType: 6, hardware: Buffer.from('0102', 'hex'), clientId: null };
  const message = encodeRelease(client, server);
  assert.equal(message.subarray(0, 3).toString('hex'), '010602');
  assert.equal(message.subarray(10, 16).toString('hex'), '0000c0a864fe');
  assert.equal(message.subarray(28, 34).toString('hex'), '010200000000');
  assert.equal(message.subarray(240, 250).toString('hex'), '3501073604c0a86401ff');
  const named = encodeRelease({ ...client, clientId: Buffer.from('ff01', 'hex') }, server);
  assert.equal(named.subarray(240, 254).toString('hex'), '3501073604c0a864013d02ff01ff');
});

dhcp('a reply with padding between its options is decoded', () => {
  const read = decodeDhcp(reply(dhcpType.offer, 0, 0, 54, 4, 192, 168, 100, 1));
  assert.deepEqual(read, { type: 2, transaction: 7, ip: '192.168.100.254', server: '192.168.100.1' });
  assert.equal(decodeDhcp(reply(dhcpType.offer))?.server, null);
});

dhcp('a message that is not a valid reply is decoded as null', () => {
  const request = encodeDhcp({ type: dhcpType.discover, transaction: 7, mac: mac(1) });
  const otherCookie = reply(dhcpType.offer);
  otherCookie[236] = 0;
  const noType = reply(dhcpType.offer);
  noType.fill(255, 240);
  for (const message of [Buffer.alloc(0), request, otherCookie, noType, reply(2).subarray(0, 239)])
    assert.equal(decodeDhcp(message), null);
  // An option whose length exceeds the message, and one that is too short for an address.
  assert.equal(decodeDhcp(reply(dhcpType.ack, 54, 255))?.server, null);
  assert.equal(decodeDhcp(reply(dhcpType.ack, 54, 2, 1, 1))?.server, null);
});

dhcp('arbitrary bytes are decoded without an exception', () => {
  const header = reply(dhcpType.ack).subarray(0, 240);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, whole) => {
      const read = decodeDhcp(whole ? Buffer.from(bytes) : Buffer.concat([header, bytes]));
      if (read !== null) assert.match(read.server ?? '0.0.0.0', /^\d+\.\d+\.\d+\.\d+$/);
    }),
  );
});

dhcp.run();
