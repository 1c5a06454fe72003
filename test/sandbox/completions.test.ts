// The completions of bash, zsh and fish, run in the real shells.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { execa } from 'execa';
import { suite } from 'uvu';
import { checkout, configure, domainXml, startLibvirtd, virsh } from './host.ts';

const completions = suite('completions');

const hostile = ['$(echo x>pwned)', '`echo x>pwned`', "it's; echo x>pwned", 'my machine', '-r'];
const machines = ['web', 'worker', ...hostile];

completions.before(async () => {
  await startLibvirtd();
  for (const name of machines) {
    writeFileSync('/tmp/machine.xml', domainXml({ name, nics: [] }));
    await virsh('define', '/tmp/machine.xml');
  }
  await configure('[network.lab1]\n[network.lab2] ; another\nsubnet = 10.0.0.0/24\n; [network.no]\n');
});

/** A command line up to the cursor, and the expected completions. */
const cases: [line: string, words: string[]][] = [
  ['virlan st', ['status']],
  ['virlan fo', ['forget', 'forward']],
  ['virlan up ', ['lab1', 'lab2']],
  ['virlan up lab1 ', ['lab1', 'lab2']],
  ['virlan --config /tmp/machine.xml do', ['doctor', 'down']],
  ['virlan status ', []],
  ['virlan mac w', ['web', 'worker']],
  ['virlan ip ', machines],
  ['virlan mac web --ni', ['--nic']],
  ['virlan mac web --network ', ['lab1', 'lab2']],
  ['virlan mac web --nic ', []],
  ['virlan plan --config mach', ['machine.xml']],
  ['virlan --ver', ['--version']],
];

/** Runs a shell script in /tmp and returns the lines that it prints, sorted. */
async function sortedLines(
  program: string,
  args: string[],
  script: string,
  ...more: string[]
): Promise<string[]> {
  const { stdout, stderr } = await execa(program, [...args, script, ...more], {
    cwd: '/tmp',
    timeout: 20_000,
  });
  assert.equal(stderr, '');
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .sort();
}

/** Returns bash's completions. As in zsh, each is evaluated as the shell would do at Enter. */
function bash(line: string): Promise<string[]> {
  const words = line.split(' ');
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _virlan
    for reply in "\${COMPREPLY[@]}"; do eval "word=$reply"; printf '%s\\n' "$word"; done`;
  return sortedLines(
    'bash',
    ['--norc', '-c'],
    script,
    'bash',
    `${checkout}/contrib/completions/virlan.bash`,
    ...words,
  );
}

async function fish(line: string): Promise<string[]> {
  const script = `source ${checkout}/contrib/completions/virlan.fish; complete -C $argv[1]`;
  const lines = await sortedLines('fish', ['--no-config', '-c'], script, line);
  return lines.map(each => each.split('\t')[0] ?? '');
}

/** zsh completes only on a terminal, where a replaced compadd writes the offers to a file. */
const zshrc = `
fpath=(${checkout}/contrib/completions $fpath)
autoload -Uz compinit && compinit -u -d /tmp/zsh/dump
compadd() {
  if [[ \${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
    local -a offers
    builtin compadd -A offers "$@"
    print -rl -- $offers >>/tmp/zsh/offers
  fi
  builtin compadd "$@"
}
comppostfuncs=(exit)
`;
async function zsh(line: string): Promise<string[]> {
  mkdirSync('/tmp/zsh', { recursive: true });
  writeFileSync('/tmp/zsh/.zshrc', zshrc);
  const script = `: >/tmp/zsh/offers; zmodload zsh/zpty; export ZDOTDIR=/tmp/zsh; zpty terminal zsh -i
    zpty -w -n terminal "$1"$'\\t'; while zpty -r terminal; do :; done >/dev/null
    while read -r offer; do eval "word=$offer"; print -r -- $word; done </tmp/zsh/offers`;
  const offers = await sortedLines('zsh', ['-f', '-c'], script, 'zsh', line);
  // zsh also offers options where no other completion exists.
  return line.includes(' --') ? offers : offers.filter(offer => !offer.startsWith('--'));
}

for (const [name, shell] of Object.entries({ bash, fish, zsh })) {
  for (const [line, words] of cases) {
    completions(`${name}: ${line}`, async () => assert.deepEqual(await shell(line), [...words].sort()));
  }
}

completions('no command in the name of a machine was run', () => {
  assert(!existsSync('/tmp/pwned'));
});

completions.run();
