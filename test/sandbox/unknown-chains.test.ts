// virlan beside chains of unknown origin that drop, beside broken firewall programs, and an overlapping
// subnet.
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

const unknown = suite('unknown chains');
unknown.before(async () => {
  await installVirlan();
  await installFirewalls();
  await serveHostPorts();
});
unknown.after.each(resetScenario);

function nft(input: string) {
  return execa('nft', ['-f', '-'], { input });
}

/** Returns the commands that status proposes, one for each chain that drops. */
async function proposals(): Promise<string[]> {
  const { problems } = await networkStatus();
  return problems.flatMap(
    problem => / unless a rule of its own accepts them: (.*)$/.exec(problem)?.[1] ?? [],
  );
}

const droppingFirewalls = {
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

for (const [name, { start, list, chains }] of Object.entries(droppingFirewalls)) {
  unknown(
    `${name} with policy drop: not changed, and reported with a command that lets machines through`,
    async () => {
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
    },
  );
}

const acceptingFirewalls = {
  'in nftables': () =>
    nft(`table inet filter {
      chain input { type filter hook input priority filter; policy drop; ct state vmap { established : accept, related : accept, invalid : drop }; iif lo accept; iifname { "k8s-br0", "virbr0" } accept; }
      chain forward { type filter hook forward priority filter; policy drop; iifname "k8s-br0" accept; oifname "k8s-br0" ct state established,related accept; }
    }
    table inet six {
      chain forward { type filter hook forward priority filter; policy drop; meta nfproto ipv4 accept; ip6 saddr fd00::/8 accept; }
    }\n`),
  'in iptables': async () => {
    await execa('iptables', ['-A', 'FORWARD', '-i', 'k8s-br0', '-j', 'ACCEPT']);
    const established = ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED', '-j', 'ACCEPT'];
    await execa('iptables', ['-A', 'FORWARD', '-o', 'k8s-br0', ...established]);
    await execa('iptables', ['-P', 'FORWARD', 'DROP']);
  },
};

for (const [name, start] of Object.entries(acceptingFirewalls))
  unknown(`chains with policy drop ${name} whose own rules accept the bridge are not a problem`, async () => {
    await start();
    await configureBackend('nftables');
    await up();
    assert.deepEqual(await proposals(), []);
    await assertConnectivity(await addMachines());
  });

unknown("policies of iptables do not affect virlan's iptables backend", async () => {
  await execa('iptables', ['-P', 'FORWARD', 'DROP']);
  await execa('iptables', ['-P', 'INPUT', 'DROP']);
  await configureBackend('iptables');
  await up();
  const scenario = await addMachines();
  assert.deepEqual(await proposals(), []);
  // The host itself must be able to answer the tests.
  await execa('iptables', ['-P', 'INPUT', 'ACCEPT']);
  await assertConnectivity(scenario);
});

/** The most time that virlan may take beside a large ruleset: the limit of one listing, also on a busy host. */
const limitMs = 10_000;
/** The same where a program hangs: two listings that end by their own limit, one after the other. */
const hungLimitMs = 30_000;

async function withinLimit<T>(work: () => Promise<T>, timeoutMs = limitMs): Promise<T> {
  const start = performance.now();
  const result = await work();
  const durationMs = performance.now() - start;
  assert(durationMs < timeoutMs, `took ${Math.round(durationMs)} ms`);
  return result;
}

unknown('ten thousand rules of other programs in nftables and in iptables', async () => {
  const numbers = Array.from({ length: 10_000 }, (_, index) => `${index >> 8}.${index & 255}`);
  const rules = numbers.map(low => `ip saddr 10.9.${low} tcp dport 1 counter accept`);
  await nft(
    `table inet big {\nchain on {\ntype filter hook forward priority 0; policy drop;\n${rules.join('\n')}\n}\n}\n`,
  );
  await execa('iptables-restore', ['--noflush'], {
    input: `*filter\n${numbers.map(low => `-A FORWARD -s 10.9.${low} -j ACCEPT`).join('\n')}\nCOMMIT\n`,
  });
  await configureBackend('nftables');
  assert.equal((await withinLimit(() => virlan('up'))).exitCode, 0);
  assert.equal((await withinLimit(proposals)).length, 1);
  await withinLimit(down);
  assert.equal((await execa('iptables', ['-S', 'FORWARD'])).stdout.split('\n').length, 10_001);
});

const badAnswers: { title: string; program: string; script: string; warning: RegExp }[] = [
  {
    title: 'an nft that cannot print the ruleset as JSON',
    program: 'nft',
    script:
      'case "$*" in *--json*) echo "BUG: unknown expression type" >&2; kill -ABRT $$ ;; esac; exec "$original" "$@"',
    warning: /other firewalls cannot be seen: nft --json list chains: /,
  },
  {
    title: 'an nft that prints half of its JSON',
    program: 'nft',
    script: `case "$*" in *--json*) echo '{"nftables": [{"chain": {"family": "ip", "tab' ; exit 0 ;; esac; exec "$original" "$@"`,
    warning: /other firewalls cannot be seen: .*JSON/,
  },
  {
    title: 'an nft that hangs while it prints JSON',
    program: 'nft',
    script: 'case "$*" in *--json*) exec sleep 60 ;; esac; exec "$original" "$@"',
    warning: /other firewalls cannot be seen: nft --json list chains: not done after 10 s/,
  },
];

for (const { title, program, script, warning } of badAnswers) {
  unknown(`${title} causes one warning`, async () => {
    stubProgram(program, script);
    await configureBackend('nftables');
    const { exitCode, stderr } = await withinLimit(() => virlan('up'), hungLimitMs);
    assert.deepEqual([exitCode, stderr.trim().split('\n').length], [0, 1]);
    assert.match(stderr, warning);
    assert(logLines().some(({ msg }) => warning.test(String(msg))));
    assert.equal((await networkStatus()).problems.filter(problem => warning.test(problem)).length, 1);
    assert.equal((await virlan('down')).exitCode, 0);
    assert.deepEqual(await leftoverRules(), []);
  });
}

unknown('an nft that always hangs is named within the time limit', async () => {
  await configureBackend('nftables');
  await up();
  stubProgram('nft', 'exec sleep 60');
  const warning = /nft .*: not done after 10 s/;
  const { exitCode, stdout } = await withinLimit(() => virlan('doctor', '--json'), hungLimitMs);
  const { check, seen } = JSON.parse(stdout).explanation;
  assert.deepEqual([exitCode, check], [1, 'kernel']);
  assert.match(seen, warning);
  const again = await withinLimit(() => virlan('up'), hungLimitMs);
  assert.equal(again.exitCode, 1);
  assert.match(again.stderr, warning);
  assert.equal(
    (await withinLimit(() => runHook('daemon', ['-', 'start', '-', 'start']), hungLimitMs)).exitCode,
    0,
  );
  assert(logLines().some(({ msg, err }) => warning.test(`${msg} ${err}`)));
  restorePrograms();
  assert.deepEqual(await plannedSteps(), []);
});

unknown('an nft that hangs during the first up leaves the host unchanged', async () => {
  await configureBackend('nftables');
  const before = await snapshot();
  stubProgram('nft', 'exec sleep 60');
  const { exitCode, stderr } = await virlan('up');
  assert.equal(exitCode, 1);
  assert.match(stderr, /nft -f -: not done after 30 s; restoring the host failed too: nft .* "virlan down" /);
  // The record of the state before is kept, because the effect of nft is unknown.
  restorePrograms();
  assert.deepEqual(await changesSince(before, /before\.json|applied\.json/), []);
  assert.equal((await virlan('down')).exitCode, 0);
  assert.deepEqual(await changesSince(before), []);
});

const brokenFirewallds = {
  'does not answer': () => process.kill(firewalldPid(), 'SIGSTOP'),
  'answers with an error': () => stubProgram('busctl', 'echo "Call failed: COMMAND_FAILED" >&2; exit 1'),
  'answers with malformed data': () => stubProgram('busctl', `echo '{"type":"s","data":{}}'`),
};

for (const [what, breakFirewalld] of Object.entries(brokenFirewallds)) {
  unknown(`a firewalld that ${what} is skipped with a warning, also in a hook`, async () => {
    await startFirewalld();
    breakFirewalld();
    const warning = /firewalld is left out/;
    await configureBackend('nftables');
    assert.equal(
      (await withinLimit(() => runHook('daemon', ['-', 'start', '-', 'start']), hungLimitMs)).exitCode,
      0,
    );
    assert(logLines().some(({ msg }) => warning.test(String(msg))));
    const { exitCode, stderr } = await withinLimit(() => virlan('up'), hungLimitMs);
    assert.equal(exitCode, 0);
    assert.match(stderr, warning);
    assert.match((await withinLimit(() => virlan('down'), hungLimitMs)).stderr, warning);
  });
}

unknown('an overlapping subnet that appears later is reported, and connectivity stays', async () => {
  await configureBackend('nftables');
  await up();
  const scenario = await addMachines();
  await assertConnectivity(scenario);
  await execa('ip', ['link', 'add', 'vpn0', 'type', 'veth', 'peer', 'name', 'vpn1']);
  await execa('ip', ['link', 'set', 'vpn0', 'up']);
  await execa('ip', ['link', 'set', 'vpn1', 'up']);
  await execa('ip', ['route', 'add', '192.168.100.254/32', 'dev', 'vpn0']);

  const warning =
    /192\.168\.100\.0\/24 overlaps 192\.168\.100\.254\/32 of a route on vpn0: choose another subnet for \[network\.k8s-br0\] in virlan\.ini, or remove the other one/;
  assert.equal((await networkStatus()).problems.filter(problem => warning.test(problem)).length, 1);
  assert.equal((await runHook('daemon', ['-', 'start', '-', 'start'])).exitCode, 0);
  assert(logLines().some(({ msg }) => warning.test(String(msg))));
  const again = await virlan('up');
  assert.equal(again.exitCode, 0);
  assert.match(again.stderr, warning);
  await assertConnectivity(scenario);

  // The bridge can also be established again.
  await execa('ip', ['link', 'delete', 'k8s-br0']);
  assert.equal((await virlan('up')).exitCode, 0);
  for (const { port } of [scenario.web, scenario.db])
    await execa('ip', ['link', 'set', port, 'master', 'k8s-br0']);
  await assertConnectivity(scenario);
  await down();
  const refused = await virlan('up');
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stderr, warning);
});

unknown.run();
