// The command line: parses arguments, runs the command, prints errors. Exit codes: 0 done, 1 failed, 2 usage.
import { parseCommandLine, type Request } from '../cli/arguments.ts';
import { failureLines, stackLines } from '../cli/failure.ts';
import { print } from '../cli/terminal.ts';
import { runners } from '../commands/index.ts';
import { VirlanError } from '../errors.ts';
import { version } from '../version.ts';

async function perform(request: Request): Promise<number> {
  switch (request.kind) {
    case 'version':
      print(`virlan ${version}`);
      return 0;
    case 'help': {
      const { commandHelp, programHelp } = await import('../cli/help.ts');
      print(...(request.command === null ? programHelp() : commandHelp(request.command)));
      return 0;
    }
    case 'run': {
      const { command, values, operands } = request;
      if (process.getuid?.() !== 0)
        throw new VirlanError('not-root', `${command.name} needs root: sudo virlan ${command.name}`);
      return runners[command.name](values, operands);
    }
  }
}

function fail(error: unknown): number {
  const stack = process.env.VIRLAN_DEBUG === undefined ? [] : stackLines(error);
  process.stderr.write([...failureLines(error), ...stack].map(line => `${line}\n`).join(''));
  return error instanceof VirlanError && error.code === 'usage' ? 2 : 1;
}

async function main(): Promise<number> {
  // By this signal, Node would open a debugger for everybody on the host.
  process.on('SIGUSR1', () => {});
  try {
    return await perform(parseCommandLine(process.argv.slice(2)));
  } catch (error) {
    return fail(error);
  }
}

void main().then(code => {
  process.exitCode = code;
});
