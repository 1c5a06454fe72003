// The processes of FRR.
import { system } from '../../system/system.ts';

/** Returns a text that no other process of a program of FRR's has; null while it does not run. */
export function frrProcess(program: 'bgpd' | 'zebra'): string | null {
  const pid = system.readFile(`/run/frr/${program}.pid`)?.trim() ?? '';
  if (!/^\d+$/.test(pid)) return null;
  // `PID (NAME) STATE PPID …`; field 22 is the time at which it began: see proc(5).
  const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(system.readFile(`/proc/${pid}/stat`) ?? '') ?? [];
  return name === program ? `${pid} ${rest?.split(' ')[19]}` : null;
}
