// dns-agent.mjs SERVER QUESTION...: asks a name server, and prints one answer per line. A question is `A web`;
// an answer is the sorted values, JSON for those of TXT and SRV, or the code of the error: ENOTFOUND for NXDOMAIN,
// ENODATA for an empty answer, ETIMEOUT after a second.
import { Resolver } from 'node:dns/promises';

const [server, ...questions] = process.argv.slice(2);
const resolver = new Resolver({ timeout: 1000, tries: 1 });
resolver.setServers([server]);
const textOf = value => (typeof value === 'string' ? value : JSON.stringify(value));
for (const question of questions) {
  const [type, name] = question.split(' ');
  const answer = await (type === 'PTR' ? resolver.reverse(name) : resolver.resolve(name, type)).then(
    values => values.map(textOf).sort().join(' '),
    error => error.code,
  );
  console.log(answer);
}
