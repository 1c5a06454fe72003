// The texts of problems with forwards. Pure.
import { formatForward, formatSpan, maxShiftedPorts } from '../config/forward.ts';
import { excerpt } from '../text.ts';
import type { ForwardProblem, RefusedForward } from './problem.ts';

/** Longest part of a name or a value that a text repeats, in characters. */
const maxLength = 40;

/** Describes a problem in one line, with the remedy. Names and values in it are hostile. */
export function forwardProblemText(problem: ForwardProblem): string {
  switch (problem.kind) {
    case 'invalid': {
      const { attribute, value } = problem;
      const form = `write ${forms[attribute]}`;
      return value === null
        ? `a forward in its metadata has no ${attribute}: ${form}`
        : `a forward in its metadata has ${attribute}="${excerpt(value, maxLength)}": ${form}`;
    }
    case 'unequal':
      return `a forward in its metadata leads ports ${excerpt(problem.port, maxLength)} to ${excerpt(problem.to, maxLength)}: write as many ports there, and at most ${maxShiftedPorts} if they are others`;
    case 'too-many':
      return `its metadata has more than ${problem.limit} forwards, and only the first ${problem.limit} count: write ranges`;
    case 'mode':
      return `forward ${formatForward(problem.forward)} is not active: a network with mode = ${problem.mode} has none: write mode = nat or routed into virlan.ini`;
    case 'not-allowed': {
      const allowed =
        problem.allowed === null
          ? 'no port may be claimed'
          : `ports ${formatSpan(problem.allowed)} may be claimed`;
      return `forward ${formatForward(problem.forward)} is not allowed: by a machine's metadata ${allowed} (forward-ports in virlan.ini)`;
    }
    case 'overlaps':
      return `forward ${formatForward(problem.forward)} is not active: it overlaps ${formatForward(problem.other)} of the same machine: remove one`;
    case 'taken':
      return `forward ${formatForward(problem.forward)} waits: machine ${excerpt(problem.by.name, maxLength)} has that port until it stops`;
    case 'busy': {
      const { address, port } = problem.listener;
      const program =
        problem.process === null
          ? 'a program'
          : `${excerpt(problem.process.name, maxLength)} (process ${problem.process.pid})`;
      const place = address.includes(':') ? `[${address}]` : address;
      return `forward ${formatForward(problem.forward)} is not active: ${program} listens on ${place}:${port}: choose another port, or stop it and restart the machine`;
    }
    case 'of-libvirt':
      return `forward ${formatForward(problem.forward)} is not active: libvirt may use that port (${problem.setting} in qemu.conf): choose another`;
    case 'needs-localhost':
      return `forward ${formatForward(problem.forward)} is not active: a loopback address leads to machines only with localhost = yes: write that into virlan.ini, or another address`;
    case 'no-address':
      return `forward ${formatForward(problem.forward)} is not active: the machine has no address`;
  }
}

const forms = {
  protocol: 'tcp or udp',
  port: 'a port from 1 to 65535, or a range such as 30000-30010',
  to: 'a port from 1 to 65535, or a range as long as that of port',
  address: 'an IPv4 address of this host',
  from: 'an IPv4 network such as 10.0.0.0/8',
} as const;

/** Describes a refused forward in one line. */
export function refusedForwardText({ machine, problem }: RefusedForward): string {
  return `machine ${excerpt(machine.name, maxLength)}: ${forwardProblemText(problem)}`;
}
