// DNS questions from namespaces, asked by dns-agent.mjs.
import { type Namespace, run } from './namespaces.ts';
import { checkout } from './virlan.ts';

/**
 * Asks a name server questions such as `A web` or `PTR 192.168.100.9`. Returns the answer of each: values, or
 * ENOTFOUND (NXDOMAIN), ENODATA, ETIMEOUT.
 */
export async function ask(
  from: Namespace,
  server: string,
  ...questions: string[]
): Promise<Record<string, string>> {
  const agent = `${checkout}/test/sandbox/dns-agent.mjs`;
  const answers = (await run(from, 'node', agent, server, ...questions)).split('\n');
  return Object.fromEntries(questions.map((question, index) => [question, answers[index] ?? '']));
}
