// Calls firewalld by D-Bus (firewalld.dbus(5)).
import type { System } from '../system/system.ts';

const service = 'org.fedoraproject.FirewallD1';

/**
 * Calls a method, as `zone.getZones`, whose arguments are strings. Returns the first value of its reply; undefined
 * where it has none. Throws CommandError where firewalld refuses, or does not answer in time.
 */
export async function callFirewalld(
  system: System,
  method: `${'zone' | 'ipset'}.${string}`,
  args: readonly string[],
  timeoutSeconds: number,
): Promise<unknown> {
  const [interfaceName, name = ''] = method.split('.');
  const signature = args.length === 0 ? [] : ['s'.repeat(args.length)];
  const call = [service, '/org/fedoraproject/FirewallD1', `${service}.${interfaceName}`, name, ...signature];
  const options = ['--json=short', '--auto-start=no', `--timeout=${timeoutSeconds}`];
  const reply: unknown = JSON.parse(
    await system.run('busctl', [...options, 'call', ...call, ...args], { timeoutSeconds }),
  );
  return (reply as { data?: unknown[] } | null)?.data?.[0];
}
