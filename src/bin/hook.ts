// The program of libvirt's hooks: `virlan hook qemu|network|daemon ARGS…` with libvirt's arguments and its
// XML on standard input. The exit code is 0 also after an error, so that the machine starts, or 75 with
// `on-error = abort` in virlan.ini. A machine's start waits for this program, so code that is seldom needed
// is in a bundle of its own.
import { readFileSync } from 'node:fs';
import { loadConfig } from '../config/load.ts';
import { parseDomain, unreadableDomain } from '../libvirt/domain-xml.ts';
import type { HookName } from '../libvirt/hook-names.ts';
import { type HookOutcome, unknownStart } from '../operations/hook-outcome.ts';
import { prepareMachine } from '../operations/prepare-machine.ts';
import { loadWords, writeEvents } from '../operations/write-events.ts';
import { paths } from '../system/paths.ts';

/** The exit code that tells hooks/qemu to keep the machine from starting. */
const abortExitCode = 75;

function readXml(): string {
  return readFileSync(0, 'utf8');
}

async function dispatch(driver: string, operation: string): Promise<HookOutcome> {
  if (`${driver} ${operation}` === ('qemu prepare' satisfies HookName)) {
    const config = loadConfig(paths.config);
    const domain = parseDomain(readXml());
    return domain.ok
      ? prepareMachine(domain.value, config)
      : unknownStart(unreadableDomain(domain.error), config);
  }
  const { handleOtherHook } = await import('../operations/other-hooks.ts');
  return handleOtherHook(driver, operation, { readXml, readConfig: () => loadConfig(paths.config) });
}

async function main(): Promise<number> {
  const [driver = '', , operation = ''] = process.argv.slice(3);
  // An operation that is not done by then waits for a program, and will have something to log.
  const preload = setImmediate(loadWords);
  const outcome = await dispatch(driver, operation).catch(
    (error: Error): HookOutcome => ({ events: [{ kind: 'failed', during: 'hook', error }], abort: null }),
  );
  clearImmediate(preload);
  await writeEvents(outcome.events, { hook: `${driver} ${operation}` });
  if (outcome.abort === null) return 0;
  process.stderr.write(`virlan: ${outcome.abort.message}\n`);
  return abortExitCode;
}

void main().then(code => {
  process.exitCode = code;
});
