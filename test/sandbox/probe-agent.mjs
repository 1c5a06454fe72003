// probe-agent.mjs: the two ends of the packets that tests send. Each form ends when its standard input does.
//   serve PROTO PORT ADDRESS      answers each client with the address and port that it is seen at
//   dns ADDRESS                   a name server that answers every question with an empty result
//   probe|ask PROTO ADDRESS PORT SOURCE-PORT SECONDS
//       prints the result of one attempt: timeout, tcp-reset, icmp-port-unreachable or an error's code; after a
//       success "open" (probe) or the answer (ask). SOURCE-PORT 0: any
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect, createServer, isIPv6 } from 'node:net';

function serve(proto, port, address) {
  const listening = () => console.log('listening');
  if (proto === 'tcp') {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.end(`${socket.remoteAddress} ${socket.remotePort}`);
    });
    server.listen(port, address, listening);
  } else {
    // With a callback for "listening", Node ignores an error of bind.
    const socket = createSocket(udpTo(address)).on('error', endWith);
    socket.on('message', (_, peer) => socket.send(`${peer.address} ${peer.port}`, peer.port, peer.address));
    socket.bind(port, address, listening);
  }
}

function endWith(error) {
  throw error;
}

function udpTo(address) {
  return isIPv6(address) ? 'udp6' : 'udp4';
}

function serveDns(address) {
  const socket = createSocket('udp4').on('error', endWith);
  socket.on('message', (question, peer) => {
    const answer = Buffer.from(question);
    // The QR bit: a response. Code 0 without records: the name exists, without a record of that type.
    answer[2] |= 0x80;
    answer[3] = 0x80;
    // A response must not contain the records that EDNS added to the question.
    const end = answer.indexOf(0, 12) + 5;
    answer.fill(0, 6, 12);
    socket.send(answer.subarray(0, end), peer.port, peer.address);
  });
  socket.bind(53, address, () => console.log('listening'));
}

// The DNS question for the server's version (version.bind TXT CH), which every name server answers.
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
    // ICMP's port unreachable causes the same error as a reset. Its other codes cause other errors.
    done(unreachablesReceived() > unreachablesBefore ? 'icmp-port-unreachable' : 'tcp-reset');
  };
  setTimeout(done, seconds * 1000, 'timeout');
  if (proto === 'tcp') {
    const localPort = sourcePort || undefined;
    const socket = connect({ host: address, port, localPort }).on('error', failed);
    // Some servers wait for the client to speak first.
    socket.on(role === 'ask' ? 'data' : 'connect', answered);
  } else {
    // The kernel reports ICMP errors to connected UDP sockets only.
    const socket = createSocket(udpTo(address)).on('error', failed).on('message', answered);
    socket.bind(sourcePort, () => socket.connect(port, address, () => socket.send(question)));
  }
}

/** Returns the number of ICMP destination unreachable messages that this namespace has received. */
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
