// probe-agent.mjs serve PROTO PORT ADDRESS: answers everybody with the address and port that it sees them at.
// probe-agent.mjs dns ADDRESS: a name server that knows no name but answers each question.
// probe-agent.mjs probe|ask PROTO ADDRESS PORT SOURCE-PORT SECONDS: prints what came of one attempt: timeout,
// tcp-reset, icmp-port-unreachable or an error's code, else a probe prints "open" and a question the answer.
// SOURCE-PORT 0 is any port. All end with their standard input.
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

function serve(proto, port, address) {
  const listening = () => console.log('listening');
  if (proto === 'tcp') {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.end(`${socket.remoteAddress} ${socket.remotePort}`);
    });
    server.listen(port, address, listening);
  } else {
    const socket = createSocket('udp4');
    socket.on('message', (_, peer) => socket.send(`${peer.address} ${peer.port}`, peer.port, peer.address));
    socket.bind(port, address, listening);
  }
}

function serveDns(address) {
  const socket = createSocket('udp4');
  socket.on('message', (question, peer) => {
    const answer = Buffer.from(question);
    // QR: this is a response. Of code 0, so the name is there, and has no record of that type.
    answer[2] |= 0x80;
    answer[3] = 0x80;
    // A response may not hold what EDNS added to the question.
    const end = answer.indexOf(0, 12) + 5;
    answer.fill(0, 6, 12);
    socket.send(answer.subarray(0, end), peer.port, peer.address);
  });
  socket.bind(53, address, () => console.log('listening'));
}

// What even a name server answers: the DNS question for the server's version, version.bind TXT CH.
const question = Buffer.from('0001010000010000000000000776657273696f6e0462696e640000100003', 'hex');

function attempt(role, proto, address, port, sourcePort, seconds) {
  const unreachablesBefore = unreachablesReceived();
  const done = outcome => {
    console.log(`${outcome}`);
    process.exit();
  };
  const answered = answer => done(role === 'ask' ? answer : 'open');
  const failed = ({ code }) => {
    if (code !== 'ECONNREFUSED') done(code);
    // A port unreachable gives the error of a reset. ICMP's other reasons give other errors.
    done(unreachablesReceived() > unreachablesBefore ? 'icmp-port-unreachable' : 'tcp-reset');
  };
  setTimeout(done, seconds * 1000, 'timeout');
  if (proto === 'tcp') {
    const localPort = sourcePort || undefined;
    const socket = connect({ host: address, port, localPort }).on('error', failed);
    // Not every server speaks first.
    socket.on(role === 'ask' ? 'data' : 'connect', answered);
  } else {
    // Only a connected UDP socket is told of ICMP errors.
    const socket = createSocket('udp4').on('error', failed).on('message', answered);
    socket.bind(sourcePort, () => socket.connect(port, address, () => socket.send(question)));
  }
}

/** How many ICMP destination unreachable messages this namespace has received. */
function unreachablesReceived() {
  const lines = readFileSync('/proc/net/snmp', 'utf8').split('\n');
  const [names, counts] = lines.filter(line => line.startsWith('Icmp: ')).map(line => line.split(' '));
  return Number(counts[names.indexOf('InDestUnreachs')]);
}

process.stdin.on('end', () => process.exit()).resume();
const [role, proto, ...args] = process.argv.slice(2);
if (role === 'serve') serve(proto, Number(args[0]), args[1]);
else if (role === 'dns') serveDns(proto);
else attempt(role, proto, args[0], ...args.slice(1).map(Number));
