// Runs programs of the host through Cockpit: always as argument lists, never by a shell.

const virlan = '/usr/sbin/virlan';

/** `virlan plan` exits so when there are changes. */
const changesWanted = 3;

/** The messages of a program must be virlan's, whatever the session's language. */
const environ = ['LC_ALL=C.UTF-8', 'NO_COLOR=1'];

/** Returns the output of `virlan plan --json`. Rejects with an Error that says what to do. */
export async function plan(network: string): Promise<string> {
  let output = '';
  const command = [virlan, 'plan', '--json', '--', network];
  const process = cockpit.spawn(command, { superuser: 'require', err: 'message', environ });
  process.stream(text => {
    output += text;
  });
  try {
    await process;
  } catch (error) {
    if ((error as { exit_status?: number }).exit_status !== changesWanted) throw asError(error);
  }
  return output;
}

/** Sets a network up. */
export function up(network: string): Promise<string> {
  return run([virlan, 'up', '--json', '--', network]);
}

/** Adds or removes a forward of a machine, whose name may begin with a dash. */
export function changeForward(change: 'add' | 'remove', machine: string, forward: string): Promise<string> {
  return run([
    virlan,
    'forward',
    ...(change === 'remove' ? ['--remove'] : []),
    '--json',
    '--',
    machine,
    forward,
  ]);
}

/** Gives a machine the MAC of the formula. */
export function adopt(machine: string): Promise<string> {
  return run([virlan, 'adopt', '--json', '--', machine]);
}

/** Drops the reservation of a machine that does not run. */
export function forget(machine: string): Promise<string> {
  return run([virlan, 'forget', '--json', '--', machine]);
}

/** Returns why a NIC has its address, as lines. */
export async function explain(machine: string, network: string, nic: number): Promise<string[]> {
  const options = ['--verbose', '--json', '--network', network, '--nic', String(nic)];
  const output = await run([virlan, 'ip', ...options, '--', machine]);
  const { why }: { why: readonly { text: string }[] } = JSON.parse(output);
  return why.map(({ text }) => text);
}

/**
 * Runs the doctor; `machine` is null for the networks alone. Calls back with its output as it comes. Resolves at
 * the end, whatever it has found.
 */
export async function doctor(
  { machine, fix }: { readonly machine: string | null; readonly fix: boolean },
  onOutput: (text: string) => void,
): Promise<void> {
  const options = ['--json', '--follow', ...(fix ? ['--fix'] : [])];
  const command = [virlan, 'doctor', ...options, ...(machine === null ? [] : ['--', machine])];
  try {
    await cockpit.spawn(command, { superuser: 'require', err: 'message', environ }).stream(onOutput);
  } catch (error) {
    // 1: a check failed, which the output says.
    if ((error as { exit_status?: number }).exit_status !== 1) throw asError(error);
  }
}

/** The part of the log that is read: some ten thousand lines. */
const maxLogBytes = 3_000_000;

/** Returns the end of virlan's log, and of the one before it. One that is not there is left out. */
export async function readLog(): Promise<string> {
  const log = '/var/log/virlan.log';
  let text = '';
  const command = ['/usr/bin/tail', '--quiet', '--bytes', String(maxLogBytes), `${log}.1`, log];
  const process = cockpit.spawn(command, { superuser: 'require', err: 'ignore', environ }).stream(part => {
    text += part;
  });
  await process.then(
    () => {},
    () => {},
  );
  return text;
}

async function run(command: readonly string[]): Promise<string> {
  try {
    return await cockpit.spawn(command, { superuser: 'require', err: 'message', environ });
  } catch (error) {
    throw asError(error);
  }
}

/** Errors of Cockpit are objects with a message. */
function asError(error: unknown): Error {
  const { message } = error as { message?: string };
  return new Error((message ?? String(error)).trim().replace(/^virlan: /, ''));
}
