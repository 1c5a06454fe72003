// What libvirt's hooks run: `hook qemu|network|daemon ARGS…`, with libvirt's own arguments behind the driver
// and its XML on standard input. If something fails, a machine starts nevertheless: the exit code is 0, or 75
// if the configuration says `on-error = abort`. A machine's start waits for this program, so code that it
// rarely needs is in a bundle of its own, loaded when it is needed. Reading the configuration and reserving
// addresses share a bundle: both need most of it.
import { readFileSync } from 'node:fs';
import { loadConfig } from '../config/load.ts';
import { messageOf } from '../errors.ts';
import { plugNic } from '../operations/plug-nic.ts';
import { prepareMachine } from '../operations/prepare-machine.ts';
import { failure, type LogRecord, type Outcome } from '../report/outcome.ts';
import { paths } from '../system/paths.ts';

/** The exit code that tells hooks/qemu to keep the machine from starting. */
const abortExitCode = 75;

async function dispatch(driver: string, operation: string): Promise<Outcome> {
  if (driver === 'qemu' && operation === 'prepare') {
    return prepareMachine(readFileSync(0, 'utf8'), loadConfig(paths.config));
  }
  if (driver === 'network' && operation === 'port-created') {
    return plugNic(readFileSync(0, 'utf8'), loadConfig(paths.config));
  }
  if (driver === 'daemon' && (operation === 'start' || operation === 'reload')) {
    const { startDaemon } = await import('../operations/start-daemon.ts');
    return startDaemon(loadConfig(paths.config));
  }
  return { records: [], abort: null };
}

async function writeLog(records: readonly LogRecord[], hook: string): Promise<void> {
  if (records.length === 0) return;
  const { openLog } = await import('../system/log.ts');
  const log = openLog();
  for (const { level, message, fields } of records) log[level]({ hook, ...fields }, message);
}

async function main(): Promise<number> {
  const [driver = '', , operation = ''] = process.argv.slice(3);
  const outcome = await dispatch(driver, operation).catch(
    (error: unknown): Outcome => ({ records: [failure(messageOf(error))], abort: null }),
  );
  try {
    await writeLog(outcome.records, `${driver} ${operation}`);
  } catch (error) {
    process.stderr.write(`virlan: the log cannot be written: ${messageOf(error)}\n`);
  }
  if (outcome.abort === null) return 0;
  process.stderr.write(`virlan: ${outcome.abort}\n`);
  return abortExitCode;
}

void main().then(code => {
  process.exitCode = code;
});
