// dns-burst.mjs udp|tcp SERVER NAME RATE COUNT: asks COUNT times for the address of NAME, RATE times a second; by
// UDP, `#` in it stands for a number. Prints how many were answered within about five seconds, in up to
// three attempts, as resolvers make them.
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';

const [, , protocol, server, name, rate, count] = process.argv;
const waitMs = 5000;
const resolver = new Resolver({ timeout: waitMs / 4, tries: 3 });
resolver.setServers([server]);

function askByTcp() {
  const labels = name.split('.').map(label => [label.length, ...Buffer.from(label)]);
  const question = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels.flat(), 0, 0, 1, 0, 1];
  return new Promise((resolve, reject) => {
    const socket = connect(53, server, () => socket.write(Buffer.from([0, question.length, ...question])));
    socket.setTimeout(waitMs, () => socket.destroy(new Error('silent')));
    socket.on('error', reject).on('data', data => {
      socket.destroy();
      resolve(data);
    });
  });
}

const answers = Array.from({ length: Number(count) }, async (_, index) => {
  await new Promise(resolve => setTimeout(resolve, (1000 * index) / Number(rate)));
  return protocol === 'tcp' ? askByTcp() : resolver.resolve4(name.replace('#', `${index}`));
});
const settled = await Promise.allSettled(answers);
console.log(settled.filter(({ status }) => status === 'fulfilled').length);
