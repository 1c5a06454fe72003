import { parseCommandLine, type Request } from '../cli/arguments.ts';
import { commandHelp, programHelp } from '../cli/help.ts';
import { UsageError } from '../cli/table.ts';
import { print } from '../cli/terminal.ts';
import { version } from '../version.ts';

async function perform(request: Request): Promise<number> {
  switch (request.kind) {
    case 'version':
      print(`virlan ${version}`);
      return 0;
    case 'help':
      print(...(request.command === null ? programHelp() : commandHelp(request.command)));
      return 0;
    case 'run': {
      const { command, values, operands } = request;
      if (process.getuid?.() !== 0)
        throw new Error(`${command.name} needs root: sudo virlan ${command.name}`);
      return command.run(values, operands);
    }
  }
}

function fail(error: unknown): number {
  const message = error instanceof Error ? error.message : String(error);
  const stack = process.env.VIRLAN_DEBUG !== undefined && error instanceof Error ? `\n${error.stack}` : '';
  process.stderr.write(
    `${message
      .split('\n')
      .map(line => `virlan: ${line}\n`)
      .join('')}${stack}`,
  );
  return error instanceof UsageError ? 2 : 1;
}

async function main(): Promise<number> {
  try {
    return await perform(parseCommandLine(process.argv.slice(2)));
  } catch (error) {
    return fail(error);
  }
}

// A reader that has seen enough, as `head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

void main().then(code => {
  process.exitCode = code;
});
