// `virlan up`: establishes networks, and arranges libvirt's own.
import type { Values } from '../cli/options.ts';
import { print, printJson, progress, style, warn } from '../cli/terminal.ts';
import { loadConfig } from '../config/load.ts';
import { changeText, defaultFateText, libvirtNetworkProblemText } from '../libvirt-networks/words.ts';
import { bringUp } from '../operations/bring-up.ts';
import { warningText } from '../report/warning-text.ts';
import { forTerminal } from '../text.ts';
import { selectNetworks } from './networks.ts';
import { stepJson, stepLines } from './step-list.ts';

/** Establishes networks and prints what changed. Returns the exit code. */
export async function up(options: Values, names: readonly string[]): Promise<number> {
  const config = loadConfig(options.config);
  const { networks, libvirt } = await progress(
    'setting up networks',
    bringUp({ config, path: options.config }, selectNetworks(config, names)),
  );
  const warnings = [
    ...networks.flatMap(({ failed }) => failed.map(({ error }) => error.message)),
    ...networks.flatMap(each => each.warnings.map(warningText)),
    ...(libvirt?.problems ?? []).map(libvirtNetworkProblemText),
  ];
  for (const warning of warnings) warn(warning);
  const actions = (libvirt?.actions ?? []).flatMap(action =>
    action.kind === 'save' ? [] : [changeText(action)],
  );
  if (options.json) {
    const up = networks.map(({ network, done }) => ({ name: network.name, changes: done.map(stepJson) }));
    printJson({ networks: up, libvirt: libvirt === null ? null : actions, warnings });
    return 0;
  }
  for (const { network, done } of networks) {
    print(
      `${style(network.name, 'bold')} is up${done.length === 0 ? '; nothing had to be changed' : ':'}`,
      ...stepLines(done),
    );
  }
  if (libvirt === null)
    print('libvirtd does not answer: its networks are arranged when it does, by "virlan up".');
  if (actions.length > 0) print(`libvirt's networks: ${actions.join(', ')}`);
  const { readDefaultFates } = await import('../libvirt-networks/arrange.ts');
  for (const fate of actions.length > 0 ? readDefaultFates(config) : [])
    print(forTerminal(defaultFateText(fate)));
  return 0;
}
