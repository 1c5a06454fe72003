import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Domain } from '../../src/libvirt/domain-xml.ts';
import { parseLibvirtNetwork } from '../../src/libvirt/network-xml.ts';
import {
  decideNetworks,
  decideRestoration,
  describeDefaultUsers,
  isPassThrough,
  type KeptNetwork,
  type KnownNetwork,
  type NetworkAction,
} from '../../src/libvirt-networks/decide.ts';
import { config, mac, uuid } from './builders.ts';

const defaultNetwork = suite('default network');

const nat: KnownNetwork = {
  name: 'default',
  forward: 'nat',
  bridge: 'virbr0',
  xml: '<network/>',
  active: true,
  autostart: true,
  persistent: true,
};
const passThrough: KnownNetwork = { ...nat, forward: 'bridge', bridge: 'k8s-br0' };
const own: KnownNetwork = { ...passThrough, name: 'k8s-br0' };

function user(name: string, network = 'default'): Domain {
  return {
    name,
    uuid: uuid(1),
    nics: [{ mac: mac(1), bridge: null, network, tap: null }],
    metadata: [],
  };
}

function brief(action: NetworkAction): string {
  return `${action.do} ${'network' in action ? action.network.name : action.name}`;
}

/** What is decided, in brief, on a host where virlan's own network is right already. */
function decide(
  text: string,
  known: readonly KnownNetwork[],
  defined: readonly Domain[] = [],
  running: readonly Domain[] = [],
) {
  const { actions, problems } = decideNetworks(config(text), known, defined, running);
  return [...actions.map(brief), ...problems];
}

const gone = ['keep default', 'destroy default', 'undefine default'];
const replaced = [...gone, 'define default', 'start default', 'autostart default'];
const stays = [
  `libvirt's network default stays while machines run on it: "web": shut them down, then "virlan up"`,
];

defaultNetwork('what becomes of it', () => {
  const web = [user('web')];
  const cases: [
    mode: string,
    found: KnownNetwork | null,
    defined: Domain[],
    running: Domain[],
    expected: string[],
  ][] = [
    ['auto', null, [], [], []],
    ['auto', nat, [], [], gone],
    ['auto', { ...nat, active: false }, [], [], ['keep default', 'undefine default']],
    ['auto', { ...nat, persistent: false }, [], [], ['keep default', 'destroy default']],
    ['auto', nat, web, [], replaced],
    ['auto', nat, [user('db', 'other')], [], gone],
    ['auto', nat, web, web, stays],
    ['auto', nat, [], web, stays],
    ['auto', nat, [], [user('db', 'other')], gone],
    ['auto', { ...nat, active: false }, web, web, replaced.filter(action => !action.startsWith('destroy'))],
    ['auto', null, web, [], replaced.slice(3)],
    ['auto', passThrough, [], [], []],
    ['auto', passThrough, web, web, []],
    [
      'auto',
      { ...passThrough, active: false, autostart: false },
      [],
      [],
      ['start default', 'autostart default'],
    ],
    ['auto', { ...passThrough, bridge: 'br-other' }, [], [], gone],
    ['remove', nat, web, [], gone],
    ['remove', nat, web, web, stays],
    ['remove', passThrough, web, [], ['destroy default', 'undefine default']],
    ['remove', null, web, [], []],
    ['replace', nat, [], [], replaced],
    ['replace', null, [], [], replaced.slice(3)],
    ['replace', passThrough, [], [], []],
    ['replace', nat, [], web, stays],
    ['keep', nat, web, web, []],
    ['keep', null, web, [], []],
    ['keep', passThrough, [], [], []],
  ];
  for (const [mode, found, defined, running, expected] of cases) {
    const known = found === null ? [own] : [own, found];
    const decided = decide(`[network.k8s-br0]\ndefault-network = ${mode}`, known, defined, running);
    assert.deepEqual(decided, expected, JSON.stringify([mode, found, defined.length, running.length]));
  }
});

defaultNetwork('it is kept as it was before it is taken away', () => {
  const { actions } = decideNetworks(config(''), [own, nat], [], []);
  assert.deepEqual(actions[0], { do: 'keep', network: nat });
});

defaultNetwork('each network of virlan’s is one of libvirt’s of its name', () => {
  const text =
    '[network.k8s-br0]\ndefault-network = keep\n[network.lab]\nsubnet = 10.0.0.0/24\nbridge = br1\ndefault-network = keep';
  assert.deepEqual(decide(text, [own]), ['define lab', 'start lab', 'autostart lab']);
  assert.deepEqual(
    decide(text, [
      { ...own, persistent: false },
      { ...own, name: 'lab', bridge: 'br1', autostart: false },
    ]),
    ['define k8s-br0', 'autostart lab'],
  );
  const { actions } = decideNetworks(config(text), [own], [], []);
  const [defined] = actions.flatMap(action =>
    action.do === 'define' ? parseLibvirtNetwork(action.xml) : [],
  );
  assert.deepEqual(defined, { ok: true, value: { name: 'lab', forward: 'bridge', bridge: 'br1' } });
});

defaultNetwork('a network of somebody else’s with that name is left alone, and told of', () => {
  const theirs = { ...nat, name: 'k8s-br0' };
  assert.deepEqual(decide('', [theirs]), [
    'libvirt has a network k8s-br0 of its own: virlan leaves it alone; rename one of them',
  ]);
});

defaultNetwork('of several networks, the first that does not keep it takes its place', () => {
  const text =
    '[network.a]\ndefault-network = keep\n[network.b]\nsubnet = 10.0.0.0/24\ndefault-network = replace';
  const { actions } = decideNetworks(config(text), [nat], [], []);
  const [, xml = ''] = actions.flatMap(action =>
    action.do === 'define' && action.name === 'default' ? ['', action.xml] : [],
  );
  assert.match(xml, /<bridge name='b'\/>/);
});

/** A network as virlan defines it. */
function defined(text: string, name: string): KnownNetwork {
  const { actions } = decideNetworks(config(text), [], [], []);
  const [xml = ''] = actions.flatMap(action =>
    action.do === 'define' && action.name === name ? action.xml : [],
  );
  return { ...passThrough, name, xml };
}

defaultNetwork('what puts it back', () => {
  const replace = '[network.k8s-br0]\ndefault-network = replace';
  const [ours, named] = [defined(replace, 'default'), defined(replace, 'k8s-br0')];
  const kept = { xml: nat.xml, autostart: true, active: true };
  const goes = (name: string) => [`destroy ${name}`, `undefine ${name}`];
  const comes = ['define default', 'autostart default', 'start default'];
  const off = { ...nat, active: false, autostart: false };
  const cases: [known: KnownNetwork[], kept: KeptNetwork | null, expected: string[]][] = [
    [[], null, []],
    [[nat], null, []],
    [[], kept, comes],
    [[named], kept, [...goes('k8s-br0'), ...comes]],
    [[named, ours], kept, [...goes('k8s-br0'), ...goes('default'), ...comes]],
    [[named, ours], null, [...goes('k8s-br0'), ...goes('default')]],
    [[], { ...kept, autostart: false }, ['define default', 'start default']],
    [[], { ...kept, active: false }, ['define default', 'autostart default']],
    // Half there: its autostart is gone, it itself is not.
    [[off], kept, ['autostart default', 'start default']],
    [[nat], kept, []],
    // A pass-through that somebody else defined.
    [[own], null, []],
  ];
  for (const [known, keptNetwork, expected] of cases) {
    assert.deepEqual(decideRestoration(known, keptNetwork).map(brief), expected);
  }
  const [define] = decideRestoration([], kept);
  assert.deepEqual(define, { do: 'define', name: 'default', xml: nat.xml });
});

defaultNetwork('what becomes of the machines that refer to it is said', () => {
  const users = [user('web'), user('db', 'other'), user('a "b"')];
  const said = (mode: string) =>
    describeDefaultUsers(config(`[network.k8s-br0]\ndefault-network = ${mode}`), users);
  const named = '"web", "a \\"b\\""';
  for (const mode of ['auto', 'replace'])
    assert.equal(said(mode), `machines on libvirt's network default start on k8s-br0 from now on: ${named}`);
  assert.equal(
    said('remove'),
    `machines on libvirt's network default start no more until "virsh edit" gives them k8s-br0: ${named}`,
  );
  assert.equal(said('keep'), `machines on libvirt's network default stay there: ${named}`);
  assert.equal(describeDefaultUsers(config(''), [user('db', 'other')]), null);
});

defaultNetwork('what counts as a pass-through', () => {
  assert(isPassThrough(passThrough, 'k8s-br0'));
  assert(!isPassThrough(passThrough, 'br1') && !isPassThrough({ ...nat, bridge: 'k8s-br0' }, 'k8s-br0'));
});

defaultNetwork.run();
