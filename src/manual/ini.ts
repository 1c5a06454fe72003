// install/virlan.ini: every key with its default, commented out.
//   ; mtu = 1500                    ; in bytes
import {
  clusterReference,
  hostReference,
  type Key,
  machineReference,
  networkReference,
  watcherReference,
} from './keys.ts';

/** Returns the file. */
export function renderIni(): string {
  const { name, keys } = networkReference();
  return [
    '; Configuration of virlan. All lines may stay commented out: then there is one network, as shown here.',
    '; "man virlan.ini" explains each key. "virlan plan" shows what a change would do, "virlan up" applies it.',
    '',
    ...section(`network.${name}`, 'the name of the network', keys),
    '',
    ...section('host.printer', 'a fixed address for a device that is not a libvirt machine', hostReference()),
    '',
    ...section('machine.web', 'a libvirt machine, by its name', machineReference()),
    '',
    ...section('cluster', 'the hosts of networks with vni', clusterReference()),
    '',
    ...section('watcher', 'the watcher', watcherReference()),
    '',
  ].join('\n');
}

function section(header: string, meaning: string, keys: readonly Key[]): string[] {
  const rows = [
    [`[${header}]`, meaning],
    ...keys.map(key => [`${key.name} = ${key.value}`.trim(), comment(key)]),
  ] as const;
  return rows.map(([setting, note]) => `; ${note === '' ? setting : `${setting.padEnd(29)} ; ${note}`}`);
}

function comment({ note, choices }: Key): string {
  const values = choices.map(([value]) => value).join(' | ');
  return [note, values].filter(part => part !== '').join(': ');
}
