import assert from 'node:assert/strict';
import { execa } from 'execa';
import { suite } from 'uvu';
import {
  addMachines,
  assertConnectivity,
  configureBackend,
  leftoverRules,
  networkStatus,
  resetScenario,
  serveHostPorts,
} from './firewall-scenario.ts';
import { firewalldPid, installFirewalls, startFirewalld } from './firewalls.ts';
import { runHook } from './hook-calls.ts';
import { installVirlan, virlan } from './host.ts';
import { logLines } from './log.ts';
import { restorePrograms, stubProgram } from './program-stubs.ts';
import { changesSince, snapshot } from './snapshot.ts';
import { down, plannedSteps, up } from './virlan-commands.ts';

const strangers = suite('strangers');
strangers.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
strangers.after.each(resetScenario);

const nft = (input: string) => execa('nft', ['-f', '-'], { input });

/** Commands that status proposes, one a chain. */
async function proposals(): Promise<string[]> {
  const { problems } = await networkStatus();
  return problems.flatMap(problem => / unless a rule of its own accepts it: (.*)$/.exec(problem)?.[1] ?? []);
}

const strangeFirewalls = {
  'a table of nftables': {
    start: () =>
      nft(`table inet corp {
        chain way-in { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; }
        chain on { type filter hook forward priority 10; policy drop; }
      }\n`),
    list: async () => (await execa('nft', ['list', 'table', 'inet', 'corp'])).stdout,
    chains: ['corp', 'corp'],
  },
  'policies of iptables': {
    start: async () => {
      await execa('iptables', ['-P', 'FORWARD', 'DROP']);
      await execa('iptables', ['-A', 'INPUT', '-m', 'conntrack', '--ctstate', 'ESTABLISHED', '-j', 'ACCEPT']);
      await execa('iptables', ['-P', 'INPUT', 'DROP']);
    },
    list: async () => (await execa('iptables', ['-S'])).stdout,
    chains: ['INPUT', 'FORWARD'],
  },
};

for (const [name, { start, list, chains }] of Object.entries(strangeFirewalls)) {
  strangers(`${name} with policy drop are reported with a command that helps, and left alone`, async () => {
    await start();
    const before = await list();
    await configureBackend('nftables');
    const { exitCode, stderr } = await virlan('up');
    assert.equal(exitCode, 0);
    const commands = await proposals();
    assert.deepEqual(
      commands.map(command => chains.filter(chain => command.includes(chain)).length > 0),
      [true, true],
    );
    for (const command of commands) assert(stderr.includes(command));
    assert.equal(await list(), before);
    for (const command of commands) await execa('sh', ['-c', command]);
    const scenario = await addMachines();
    await assertConnectivity(scenario);
    assert.deepEqual(await proposals(), []);
    assert.deepEqual(await plannedSteps(), []);
    await down();
  });
}

strangers("the policies of iptables are no obstacle to virlan's own rules of iptables", async () => {
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
  await execa('iptables', ['-P', 'INPUT', 'DROP']);
  await configureBackend('iptables');
  await up();
  const scenario = await addMachines();
  assert.deepEqual(await proposals(), []);
  // The host itself has nothing to answer the tests with.
  await execa('iptables', ['-P', 'INPUT', 'ACCEPT']);
  await assertConnectivity(scenario);
});

/** How long no foreign ruleset, and no firewall that hangs, may hold virlan up, in milliseconds. */
const patience = 5000;

async function inTime<T>(work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  const took = performance.now() - start;
  assert(took < patience, `took ${Math.round(took)} ms`);
  return result;
}

strangers('ten thousand rules of others, in each form', async () => {
  const numbers = Array.from({ length: 10_000 }, (_, index) => `${index >> 8}.${index & 255}`);
  const rules = numbers.map(low => `ip saddr 10.9.${low} tcp dport 1 counter accept`);
  await nft(
    `table inet big {\nchain on {\ntype filter hook forward priority 0; policy drop;\n${rules.join('\n')}\n}\n}\n`,
  );
  await execa('iptables-restore', ['--noflush'], {
    input: `*filter\n${numbers.map(low => `-A FORWARD -s 10.9.${low} -j ACCEPT`).join('\n')}\nCOMMIT\n`,
  });
  await configureBackend('nftables');
  assert.equal((await inTime(() => virlan('up'))).exitCode, 0);
  assert.equal((await inTime(proposals)).length, 1);
  await inTime(down);
  assert.equal((await execa('iptables', ['-S', 'FORWARD'])).stdout.split('\n').length, 10_001);
});

const badAnswers: { title: string; program: string; script: string; word: RegExp }[] = [
  {
    title: 'an nft that cannot print what it finds as JSON',
    program: 'nft',
    script:
      'case "$*" in *--json*) echo "BUG: unknown expression type" >&2; kill -ABRT $$ ;; esac; exec "$original" "$@"',
    word: /other firewalls cannot be seen: nft --json list chains: /,
  },
  {
    title: 'an nft that prints half of its JSON',
    program: 'nft',
    script: `case "$*" in *--json*) echo '{"nftables": [{"chain": {"family": "ip", "tab' ; exit 0 ;; esac; exec "$original" "$@"`,
    word: /other firewalls cannot be seen: .*JSON/,
  },
  {
    title: 'an nft that hangs over its JSON',
    program: 'nft',
    script: 'case "$*" in *--json*) exec sleep 60 ;; esac; exec "$original" "$@"',
    word: /other firewalls cannot be seen: nft --json list chains: not done after 2 s/,
  },
];

for (const { title, program, script, word } of badAnswers) {
  strangers(`${title} is passed over with a word`, async () => {
    stubProgram(program, script);
    await configureBackend('nftables');
    const { exitCode, stderr } = await inTime(() => virlan('up'));
    assert.deepEqual([exitCode, stderr.trim().split('\n').length], [0, 1]);
    assert.match(stderr, word);
    assert(logLines().some(({ msg }) => word.test(String(msg))));
    assert.equal((await networkStatus()).problems.filter(problem => word.test(problem)).length, 1);
    assert.equal((await virlan('down')).exitCode, 0);
    assert.deepEqual(await leftoverRules(), []);
  });
}

strangers('an nft that hangs over everything is named, and holds nobody up', async () => {
  await configureBackend('nftables');
  await up();
  stubProgram('nft', 'exec sleep 60');
  const word = /nft .*: not done after 2 s/;
  const { exitCode, stdout } = await inTime(() => virlan('doctor', '--json'));
  const { check, seen } = JSON.parse(stdout).explanation;
  assert.deepEqual([exitCode, check], [1, 'kernel']);
  assert.match(seen, word);
  const again = await inTime(() => virlan('up'));
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, word);
  assert.equal((await inTime(() => runHook('daemon', ['-', 'start', '-', 'start']))).exitCode, 0);
  assert(logLines().some(({ msg, err }) => word.test(`${msg} ${err}`)));
  restorePrograms();
  assert.deepEqual(await plannedSteps(), []);
});

strangers('an nft that hangs from the start leaves the host as it was', async () => {
  await configureBackend('nftables');
  const before = await snapshot();
  stubProgram('nft', 'exec sleep 60');
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 1);
  assert.match(
    stderr,
    /nft -f -: not done after 10 s; putting the host back failed too: nft .* "virlan down" /,
  );
  // What was there before is remembered as long as nobody knows what nft did.
  restorePrograms();
  assert.deepEqual(await changesSince(before, /before\.json|applied\.json/), []);
  assert.equal((await virlan('down')).exitCode, 0);
  assert.deepEqual(await changesSince(before), []);
});

const brokenFirewallds = {
  'does not answer': () => process.kill(firewalldPid(), 'SIGSTOP'),
  'answers with an error': () => stubProgram('busctl', 'echo "Call failed: COMMAND_FAILED" >&2; exit 1'),
  'answers with nonsense': () => stubProgram('busctl', `echo '{"type":"s","data":{}}'`),
};

for (const [what, breakIt] of Object.entries(brokenFirewallds)) {
  strangers(`a firewalld that ${what} is passed over with a word, in a hook too`, async () => {
    await startFirewalld();
    breakIt();
    const word = /firewalld is passed over/;
    await configureBackend('nftables');
    assert.equal((await inTime(() => runHook('daemon', ['-', 'start', '-', 'start']))).exitCode, 0);
    assert(logLines().some(({ msg }) => word.test(String(msg))));
    const { exitCode, stderr } = await inTime(() => virlan('up'));
    assert.equal(exitCode, 0);
    assert.match(stderr, word);
    assert.match((await inTime(() => virlan('down'))).stderr, word);
  });
}

strangers('a subnet that overlaps and comes later is told of, and cuts nothing', async () => {
  await configureBackend('nftables');
  await up();
  const scenario = await addMachines();
  await assertConnectivity(scenario);
  await execa('ip', ['link', 'add', 'vpn0', 'type', 'veth', 'peer', 'name', 'vpn1']);
  await execa('ip', ['link', 'set', 'vpn0', 'up']);
  await execa('ip', ['link', 'set', 'vpn1', 'up']);
  await execa('ip', ['route', 'add', '192.168.0.0/16', 'dev', 'vpn0', 'table', '77']);

  const word =
    /192\.168\.100\.0\/24 overlaps 192\.168\.0\.0\/16 of a route on vpn0: choose another subnet for .*virlan\.ini, or take/;
  assert.equal((await networkStatus()).problems.filter(problem => word.test(problem)).length, 1);
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  assert(logLines().some(({ msg }) => word.test(String(msg))));
  const again = await virlan('up');
  assert.equal(again.exitCode, 0);
  assert.match(again.stderr, word);
  await assertConnectivity(scenario);

  // Not even where it has to be built anew.
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  assert.equal((await virlan('up')).exitCode, 0);
  for (const { port } of [scenario.web, scenario.db])
    await execa('ip', ['link', 'set', port, 'master', 'k8s-br0']);
  await assertConnectivity(scenario);
  await down();
  const refused = await virlan('up');
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, word);
});

strangers.run();
