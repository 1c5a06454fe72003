// Texts and log fields about libvirt's networks, made from the values of decide.ts. Pure.
import type { DefaultFate, LibvirtNetworkProblem, NetworkAction } from './decide.ts';
import { type OwnersChange, shippedBridge } from './shipped-network.ts';

/** Returns a problem as a line: what is wrong, and what to do. */
export function libvirtNetworkProblemText(problem: LibvirtNetworkProblem): string {
  switch (problem.kind) {
    case 'default-in-use':
      return inUseText(problem.users, problem.ports);
    case 'default-changed': {
      const remedy = '"default-network = keep" confirms that, "replace" or "remove" takes its place';
      return `libvirt's network default is not as libvirt defines it (${changeOf(problem.change)}) and stays: ${remedy}`;
    }
    case 'network-in-use': {
      const { name, to, users, ports } = problem;
      const machines = users.length === 0 ? [] : [`machines run on it: ${quotedNames(users)}`];
      const others = ports === 0 ? [] : [`NICs of other programs are plugged into it: ${ports}`];
      const goal = to === null ? 'is not in virlan.ini and stays' : `does not lead to ${to}`;
      const remedy = users.length === 0 ? 'unplug them' : 'shut the machines down';
      return `libvirt's network ${name} ${goal} while ${[...machines, ...others].join(', and ')}: ${remedy}, then "virlan up"`;
    }
    case 'start-failed':
      return `libvirt's network ${problem.name} is defined again, but does not start: ${problem.error}`;
  }
}

function inUseText(users: readonly string[], ports: readonly string[]): string {
  const machines = users.length === 0 ? [] : [`machines run on it: ${quotedNames(users)}`];
  const others = ports.length === 0 ? [] : [`NICs are plugged into its bridge: ${quotedNames(ports)}`];
  const remedy = [
    ...(users.length === 0 ? [] : ['shut the machines down']),
    ...(ports.length === 0 ? [] : ['remove the NICs or end the programs that have them']),
    'then "virlan up"',
  ];
  return `libvirt's network default stays while ${[...machines, ...others].join(', and ')}: ${remedy.join(', ')}`;
}

function changeOf(change: OwnersChange): string {
  switch (change.kind) {
    case 'forward-mode':
      return change.mode === null ? 'it does not forward' : `forward mode ${JSON.stringify(change.mode)}`;
    case 'bridge':
      return change.bridge === null ? 'it has no bridge' : `bridge ${JSON.stringify(change.bridge)}`;
    case 'element':
      return `it has <${change.name}>`;
    case 'attribute':
      return `its <${change.element}> has ${change.name}=`;
    case 'unreadable':
      return 'its XML cannot be read';
  }
}

/** Returns as a line what follows from what happens to libvirt's network `default`. */
export function defaultFateText(fate: DefaultFate): string {
  const machines = "machines on libvirt's network default";
  switch (fate.kind) {
    case 'stay':
      return `${machines} stay there: ${quotedNames(fate.users)}`;
    case 'move':
      return `${machines} start on ${fate.network} from now on: ${quotedNames(fate.users)}`;
    case 'start-no-longer':
      return `${machines} do not start until "virsh edit" moves them to ${fate.network}: ${quotedNames(fate.users)}`;
    case 'bridge-gone':
      return `machines on libvirt's bridge ${shippedBridge} do not start until "virsh edit" moves them to ${fate.network}: ${quotedNames(fate.users)}`;
    case 'removed': {
      const tools = 'virt-install without --network, minikube and kcli';
      return `libvirt has no network default, which ${tools} expect: "default-network = replace" in virlan.ini gives it back`;
    }
  }
}

/** Returns a change as `virlan up` and `virlan down` list it: `define k8s-br0`. */
export function changeText({ kind, name }: NetworkAction): string {
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
