// dns-upstream.mjs: a name server that has one address for all names of example.com, and is silent about all others.
import { createSocket } from 'node:dgram';

const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
socket.on('message', (message, { address, port }) => {
  if (!message.includes('\x07example\x03com\0')) return;
  const question = message.subarray(12, message.indexOf(0, 12) + 5);
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 51, 100, 7];
  const head = [...message.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
  socket.send(Buffer.from([...head, ...question, ...record]), port, address);
});
socket.bind(53);
