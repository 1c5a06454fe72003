import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseCommandLine } from '../../src/cli/arguments.ts';
import { commands, UsageError, type Values } from '../../src/cli/table.ts';

const commandLine = suite('command line');

/** Without what nobody asked for. */
function brief(values: Values): object {
  return Object.fromEntries(
    Object.entries(values).filter(([name, value]) => value !== false || name === 'json'),
  );
}

/** A request in brief. */
function request(line: string): string {
  const found = parseCommandLine(line.split(' ').filter(word => word !== ''));
  if (found.kind !== 'run')
    return `${found.kind} ${found.kind === 'help' ? (found.command?.name ?? '') : ''}`.trim();
  return `${found.command.name} ${JSON.stringify(brief(found.values))} ${found.operands.join(' ')}`.trim();
}

commandLine('what is asked for', () => {
  const cases: [line: string, request: string][] = [
    ['up', 'up {"json":false,"nic":0}'],
    ['down --restore-default', 'down {"json":false,"nic":0,"restoreDefault":true}'],
    ['doctor', 'doctor {"json":false,"nic":0}'],
    ['doctor web --fix -v', 'doctor {"json":false,"nic":0,"fix":true,"verbose":true} web'],
    ['up a b', 'up {"json":false,"nic":0} a b'],
    ['--json status', 'status {"json":true,"nic":0}'],
    ['plan --config /x.ini', 'plan {"config":"/x.ini","json":false,"nic":0}'],
    ['mac web --network lab --nic 1', 'mac {"network":"lab","json":false,"nic":1} web'],
    ['ip web --nic=007', 'ip {"json":false,"nic":7} web'],
    ['ip -- --odd', 'ip {"json":false,"nic":0} --odd'],
    ['--version', 'version'],
    ['-V up', 'version'],
    ['--help', 'help'],
    ['help', 'help'],
    ['help nonsense', 'help'],
    ['help up', 'help up'],
    ['up --help', 'help up'],
    ['-h mac', 'help mac'],
  ];
  for (const [line, expected] of cases) assert.equal(request(line), expected, line);
});

commandLine('what makes no sense is a usage error, which says what to write', () => {
  const cases: [line: string, message: RegExp][] = [
    ['', /^which command\? See "virlan --help"$/],
    ['--json', /^which command\?/],
    ['uup', /^there is no command uup: see "virlan --help"$/],
    ['uup --help', /^there is no command uup/],
    ['mac', /^mac needs a name; write: virlan mac NAME$/],
    ['mac a b', /^mac takes no "b"; write: virlan mac NAME$/],
    ['status a', /^status takes no "a"; write: virlan status$/],
    ['up --network a', /^up has no option --network: see "virlan up --help"$/],
    ['up --restore-default', /^up has no option --restore-default/],
    ['up --fix', /^up has no option --fix/],
    ['doctor a b', /^doctor takes no "b"; write: virlan doctor \[NAME\]$/],
    ['status --nic 1', /^status has no option --nic/],
    ['mac a --nic x', /^--nic x is no number: NICs count from 0$/],
    ['mac a --nic=-1', /^--nic -1 is no number/],
    ['mac a --nic 1000', /^--nic 1000 is no number/],
    ['up --nonsense', /^Unknown option '--nonsense': see "virlan --help"$/],
    ['up --config', /^Option '--config <value>' argument missing: see/],
    ['up --json=x', /^Option '--json' does not take an argument: see/],
    ['mac -x', /^Unknown option '-x': see/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => request(line),
      error => {
        assert(error instanceof UsageError, line);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

commandLine('every command is found under its name, and explains itself', () => {
  for (const command of commands) {
    assert.equal(request(`help ${command.name}`), `help ${command.name}`);
    assert(command.summary !== '' && command.examples.length > 0);
    for (const [example] of command.examples) assert(example.includes(`virlan ${command.name}`), example);
  }
});

commandLine.run();
