// arguments.test.ts: tests the parser of the command line.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { parseCommandLine } from '../../src/cli/arguments.ts';
import { type Option, optionNames, options, type Values } from '../../src/cli/options.ts';
import { commands, optionsOf } from '../../src/cli/table.ts';
import { VirlanError } from '../../src/errors.ts';

const commandLine = suite('command line');

/** The values of options that are not given. */
const defaults: Values = {
  config: '/etc/virlan/virlan.ini',
  json: false,
  network: null,
  nic: 0,
  restoreDefault: false,
  remove: false,
  fix: false,
  follow: false,
  watch: false,
  verbose: false,
  output: null,
  list: false,
  host: null,
  withMachines: false,
  help: false,
  version: false,
};

/** Returns the values that differ from their defaults. */
function given(values: Values): object {
  return Object.fromEntries(
    optionNames.flatMap(name => (values[name] === defaults[name] ? [] : [[name, values[name]]])),
  );
}

/** Parses a command line and returns the request as one line. */
function request(line: string): string {
  const found = parseCommandLine(line.split(' ').filter(word => word !== ''));
  if (found.kind !== 'run')
    return `${found.kind} ${found.kind === 'help' ? (found.command?.name ?? '') : ''}`.trim();
  return `${found.command.name} ${JSON.stringify(given(found.values))} ${found.operands.join(' ')}`.trim();
}

commandLine('a command line becomes a request', () => {
  const cases: [line: string, request: string][] = [
    ['up', 'up {}'],
    ['down --restore-default', 'down {"restoreDefault":true}'],
    ['doctor', 'doctor {}'],
    ['doctor web --fix -v', 'doctor {"fix":true,"verbose":true} web'],
    ['up a b', 'up {} a b'],
    ['--json status', 'status {"json":true}'],
    ['plan --config /x.ini', 'plan {"config":"/x.ini"}'],
    ['mac web --network lab --nic 1', 'mac {"network":"lab","nic":1} web'],
    ['mac web --verbose', 'mac {"verbose":true} web'],
    ['ip web -v', 'ip {"verbose":true} web'],
    ['ip web --nic=007', 'ip {"nic":7} web'],
    ['ip -- --odd', 'ip {} --odd'],
    ['expel 10.0.0.3 --with-machines', 'expel {"withMachines":true} 10.0.0.3'],
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

commandLine('an invalid command line is a usage error that names the correct form', () => {
  const cases: [line: string, message: RegExp][] = [
    ['', /^a command is missing: see "virlan --help"$/],
    ['--json', /^a command is missing/],
    ['uup', /^there is no command "uup": did you mean "up"\? See "virlan --help"$/],
    ['statsu', /^there is no command "statsu": did you mean "status"\?/],
    ['frobnicate', /^there is no command "frobnicate": see "virlan --help"$/],
    ['uup --help', /^there is no command "uup"/],
    ['mac', /^mac needs a name; usage: virlan mac NAME$/],
    ['expel', /^expel needs an address; usage: virlan expel ADDRESS$/],
    ['mac a b', /^mac: unexpected argument "b"; usage: virlan mac NAME$/],
    ['status a', /^status: unexpected argument "a"; usage: virlan status$/],
    ['up --network a', /^up has no option --network: see "virlan up --help"$/],
    ['up --restore-default', /^up has no option --restore-default/],
    ['up --fix', /^up has no option --fix/],
    ['doctor a b', /^doctor: unexpected argument "b"; usage: virlan doctor \[NAME\]$/],
    ['status --nic 1', /^status has no option --nic/],
    ['up -v', /^up has no option --verbose/],
    ['up --version=1', /^Option '-V, --version' does not take an argument: see/],
    ['mac a --nic x', /^--nic "x" is not a number from 0 to 999$/],
    ['mac a --nic=-1', /^--nic "-1" is not a number/],
    ['mac a --nic 1000', /^--nic "1000" is not a number/],
    ['up --nonsense', /^there is no option --nonsense: see "virlan --help"$/],
    ['status --jsno', /^there is no option --jsno: did you mean "--json"\? See "virlan --help"$/],
    ['status --jsno=x', /^there is no option --jsno: did you mean "--json"/],
    ['up --config', /^Option '--config <value>' argument missing: see/],
    ['up --json=x', /^Option '--json' does not take an argument: see/],
    ['mac -x', /^there is no option -x: see/],
  ];
  for (const [line, message] of cases) {
    assert.throws(
      () => request(line),
      error => {
        assert(error instanceof VirlanError && error.code === 'usage', line);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

commandLine('every command is found under its name and has a summary and examples', () => {
  for (const command of commands) {
    assert.equal(request(`help ${command.name}`), `help ${command.name}`);
    assert(command.summary !== '' && command.examples.length > 0);
    for (const [example] of command.examples) assert(example.includes(`virlan ${command.name}`), example);
  }
});

commandLine('an option that is not given has its default', () => {
  for (const { name, operands } of commands) {
    const found = parseCommandLine([name, ...Array<string>(operands.min).fill('web')]);
    assert.deepEqual(found.kind === 'run' ? found.values : null, defaults, name);
  }
});

commandLine('each command takes the options in its row and no others', () => {
  const values = {
    file: ['/x.ini'],
    output: ['/x.prom'],
    machine: ['web'],
    network: ['lab'],
    index: ['1'],
    flag: [],
  };
  for (const command of commands) {
    for (const option of optionNames.filter(name => name !== 'help' && name !== 'version')) {
      const { flag, value }: Option = options[option];
      const line = [
        command.name,
        ...Array<string>(command.operands.min).fill('web'),
        `--${flag}`,
        ...values[value.kind],
      ];
      if (optionsOf(command).includes(option))
        assert.equal(parseCommandLine(line).kind, 'run', line.join(' '));
      else assert.throws(() => parseCommandLine(line), /has no option/, line.join(' '));
    }
  }
});

commandLine.run();
