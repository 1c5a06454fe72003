// Texts and log fields about libvirt's networks, made from the values of decide.ts. Pure.
import type { DefaultUsersFate, LibvirtNetworkProblem, NetworkAction, NetworkChange } from './decide.ts';

/** Returns a problem as a line: what is wrong, and what to do. */
export function libvirtNetworkProblemText(problem: LibvirtNetworkProblem): string {
  switch (problem.kind) {
    case 'default-in-use': {
      const users = quotedNames(problem.users);
      return `libvirt's network default stays while machines run on it: ${users}: shut them down, then "virlan up"`;
    }
    case 'name-taken':
      return `libvirt has a network ${problem.name} of its own: virlan leaves it alone; rename one of them`;
    case 'start-failed':
      return `libvirt's network ${problem.name} is defined again, but does not start: ${problem.error}`;
  }
}

/** Returns as a line what happens to the machines that refer to libvirt's network `default`. */
export function defaultUsersText(fate: DefaultUsersFate): string {
  const machines = "machines on libvirt's network default";
  const users = quotedNames(fate.users);
  switch (fate.kind) {
    case 'stay':
      return `${machines} stay there: ${users}`;
    case 'move':
      return `${machines} start on ${fate.network} from now on: ${users}`;
    case 'start-no-longer':
      return `${machines} do not start until "virsh edit" moves them to ${fate.network}: ${users}`;
  }
}

/** Returns a change as `virlan up` and `virlan down` list it: `define k8s-br0`. */
export function changeText({ kind, name }: NetworkChange): string {
  return `${kind} ${name}`;
}

/** Returns an action as the field `action` of the log: `{"do": "define", "name": "k8s-br0"}`. */
export function actionFields({ kind, name }: NetworkAction): { readonly do: string; readonly name: string } {
  return { do: kind === 'save' ? 'keep' : kind, name };
}

/** Names are hostile: quoted as JSON they have no control characters and stay on the line. */
function quotedNames(names: readonly string[]): string {
  return names.map(name => JSON.stringify(name)).join(', ');
}
