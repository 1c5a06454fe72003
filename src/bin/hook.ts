import { readFileSync } from 'node:fs';
import { loadConfig } from '../config/load.ts';
import type { LogRecord, Outcome } from '../report/outcome.ts';
import { paths } from '../system/paths.ts';

/**
 * What libvirt's hooks run: `hook qemu|network|daemon ARGS…`, libvirt's own arguments behind the driver and its XML on
 * standard input. Whatever goes wrong, a machine starts: the exit code is 0, or 75 where the configuration says that
 * the start be aborted. Kept apart from the rest because a machine's start waits for it: what it needs seldom is a file
 * of its own, loaded when it is needed.
 */
const abortStart = 75;

async function dispatch(driver: string, operation: string): Promise<Outcome> {
  if (driver === 'qemu' && operation === 'prepare') {
    const { prepareMachine } = await import('../operations/prepare-machine.ts');
    return prepareMachine(readFileSync(0, 'utf8'), loadConfig(paths.config));
  }
  if (driver === 'network' && operation === 'port-created') {
    const { plugNic } = await import('../operations/plug-nic.ts');
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
  const hook = `${driver} ${operation}`;
  const outcome = await dispatch(driver, operation).catch(
    (error: Error): Outcome => ({
      records: [{ level: 'error', message: error.message, fields: {} }],
      abort: null,
    }),
  );
  const lost = await writeLog(outcome.records, hook).catch((error: Error) => error);
  if (lost instanceof Error) process.stderr.write(`virlan: the log cannot be written: ${lost.message}\n`);
  if (outcome.abort === null) return 0;
  process.stderr.write(`virlan: ${outcome.abort}\n`);
  return abortStart;
}

void main().then(code => {
  process.exitCode = code;
});
