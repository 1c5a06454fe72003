// default-network.test.ts: tests the decisions about libvirt's networks, their restoration and the saved
// record.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Domain } from '../../src/libvirt/domain-xml.ts';
import { parseLibvirtNetwork } from '../../src/libvirt/network-xml.ts';
import {
  decideDefaultUsers,
  decideNetworks,
  decideRestoration,
  isPassThrough,
  type KnownNetwork,
  type LibvirtNetworkProblem,
  type NetworkAction,
  type SavedNetwork,
} from '../../src/libvirt-networks/decide.ts';
import { restoreBy } from '../../src/libvirt-networks/restore.ts';
import {
  formatSavedNetwork,
  parseSavedNetwork,
  updateSavedNetwork,
} from '../../src/libvirt-networks/saved-network.ts';
import {
  actionFields,
  changeText,
  defaultUsersText,
  libvirtNetworkProblemText,
} from '../../src/libvirt-networks/words.ts';
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

function brief({ kind, name }: NetworkAction): string {
  return `${kind} ${name}`;
}

/** Returns the decision: actions as `KIND NAME`, then problems. */
function decide(
  text: string,
  known: readonly KnownNetwork[],
  defined: readonly Domain[] = [],
  running: readonly Domain[] = [],
): (string | LibvirtNetworkProblem)[] {
  const { actions, problems } = decideNetworks(config(text), known, defined, running);
  return [...actions.map(brief), ...problems];
}

const gone = ['save default', 'destroy default', 'undefine default'];
const replaced = [...gone, 'define default', 'start default', 'autostart default'];
const stays: LibvirtNetworkProblem[] = [{ kind: 'default-in-use', users: ['web'] }];

defaultNetwork('default is removed, replaced or kept, by configuration and use', () => {
  const web = [user('web')];
  const cases: [
    mode: string,
    found: KnownNetwork | null,
    defined: Domain[],
    running: Domain[],
    expected: (string | LibvirtNetworkProblem)[],
  ][] = [
    ['auto', null, [], [], []],
    ['auto', nat, [], [], gone],
    ['auto', { ...nat, active: false }, [], [], ['save default', 'undefine default']],
    ['auto', { ...nat, persistent: false }, [], [], ['save default', 'destroy default']],
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

defaultNetwork('default is saved before it is removed', () => {
  const { actions } = decideNetworks(config(''), [own, nat], [], []);
  const network = { xml: nat.xml, active: true, autostart: true };
  assert.deepEqual(actions[0], { kind: 'save', name: 'default', network });
});

defaultNetwork('each virlan network is also a libvirt network of the same name', () => {
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
    action.kind === 'define' ? parseLibvirtNetwork(action.xml) : [],
  );
  assert.deepEqual(defined, { ok: true, value: { name: 'lab', forward: 'bridge', bridge: 'br1' } });
});

defaultNetwork('a libvirt network of that name that virlan did not define is kept and reported', () => {
  const theirs = { ...nat, name: 'k8s-br0' };
  assert.deepEqual(decide('', [theirs]), [{ kind: 'name-taken', name: 'k8s-br0' }]);
});

defaultNetwork('of several networks, the first without default-network = keep replaces default', () => {
  const text =
    '[network.a]\ndefault-network = keep\n[network.b]\nsubnet = 10.0.0.0/24\ndefault-network = replace';
  const { actions } = decideNetworks(config(text), [nat], [], []);
  const [, xml = ''] = actions.flatMap(action =>
    action.kind === 'define' && action.name === 'default' ? ['', action.xml] : [],
  );
  assert.match(xml, /<bridge name='b'\/>/);
});

/** Returns the network of this name as virlan defines it. */
function defined(text: string, name: string): KnownNetwork {
  const { actions } = decideNetworks(config(text), [], [], []);
  const [xml = ''] = actions.flatMap(action =>
    action.kind === 'define' && action.name === name ? action.xml : [],
  );
  return { ...passThrough, name, xml };
}

defaultNetwork('restoration removes virlan’s networks and defines default as it was saved', () => {
  const replace = '[network.k8s-br0]\ndefault-network = replace';
  const [ours, named] = [defined(replace, 'default'), defined(replace, 'k8s-br0')];
  const saved = { xml: nat.xml, autostart: true, active: true };
  const removal = (name: string) => [`destroy ${name}`, `undefine ${name}`];
  const restoration = ['define default', 'autostart default', 'start default'];
  const off = { ...nat, active: false, autostart: false };
  const cases: [known: KnownNetwork[], saved: SavedNetwork | null, expected: string[]][] = [
    [[], null, []],
    [[nat], null, []],
    [[], saved, restoration],
    [[named], saved, [...removal('k8s-br0'), ...restoration]],
    [[named, ours], saved, [...removal('k8s-br0'), ...removal('default'), ...restoration]],
    [[named, ours], null, [...removal('k8s-br0'), ...removal('default')]],
    [[], { ...saved, autostart: false }, ['define default', 'start default']],
    [[], { ...saved, active: false }, ['define default', 'autostart default']],
    // default is defined, but no longer autostarted.
    [[off], saved, ['autostart default', 'start default']],
    [[nat], saved, []],
    // A pass-through that virlan did not define.
    [[own], null, []],
  ];
  for (const [known, savedNetwork, expected] of cases) {
    assert.deepEqual(decideRestoration(known, savedNetwork).map(brief), expected);
  }
  const [define] = decideRestoration([], saved);
  assert.deepEqual(define, { kind: 'define', name: 'default', xml: nat.xml });
});

defaultNetwork(
  'a restored network that does not start is a problem, and not reported as started',
  async () => {
    const [define, autostart, start] = decideRestoration([], {
      xml: '<network/>',
      autostart: true,
      active: true,
    });
    assert(define !== undefined && autostart !== undefined && start !== undefined);
    const refused = new Error('address in use');
    const failAt = (failing: string) =>
      restoreBy([define, autostart, start], async ({ kind }) => {
        if (kind === failing) throw refused;
      });
    assert.deepEqual(await failAt('nothing'), { actions: [define, autostart, start], problems: [] });
    assert.deepEqual(await failAt('start'), {
      actions: [define, autostart],
      problems: [{ kind: 'start-failed', name: 'default', error: 'address in use' }],
    });
    await assert.rejects(failAt('define'), refused);
  },
);

defaultNetwork('machines on default move, stay, or no longer start', () => {
  const decideUsers = (mode: string, domains: readonly Domain[]) =>
    decideDefaultUsers(config(`[network.k8s-br0]\ndefault-network = ${mode}`), domains);
  const machines = [user('web'), user('db', 'other'), user('a "b"')];
  const users = ['web', 'a "b"'];
  for (const mode of ['auto', 'replace'])
    assert.deepEqual(decideUsers(mode, machines), { kind: 'move', network: 'k8s-br0', users });
  assert.deepEqual(decideUsers('remove', machines), { kind: 'start-no-longer', network: 'k8s-br0', users });
  assert.deepEqual(decideUsers('keep', machines), { kind: 'stay', users });
  assert.equal(decideUsers('auto', [user('db', 'other')]), null);
});

defaultNetwork('each problem and each effect on machines is one line with quoted names', () => {
  const users = ['web', 'a "b"\n'];
  const named = '"web", "a \\"b\\"\\n"';
  assert.equal(
    libvirtNetworkProblemText({ kind: 'default-in-use', users }),
    `libvirt's network default stays while machines run on it: ${named}: shut them down, then "virlan up"`,
  );
  assert.equal(
    libvirtNetworkProblemText({ kind: 'name-taken', name: 'lab' }),
    'libvirt has a network lab of its own: virlan leaves it alone; rename one of them',
  );
  assert.equal(
    libvirtNetworkProblemText({ kind: 'start-failed', name: 'default', error: 'address in use' }),
    "libvirt's network default is defined again, but does not start: address in use",
  );
  const machines = "machines on libvirt's network default";
  assert.equal(defaultUsersText({ kind: 'stay', users }), `${machines} stay there: ${named}`);
  assert.equal(
    defaultUsersText({ kind: 'move', network: 'k8s-br0', users }),
    `${machines} start on k8s-br0 from now on: ${named}`,
  );
  assert.equal(
    defaultUsersText({ kind: 'start-no-longer', network: 'k8s-br0', users }),
    `${machines} do not start until "virsh edit" moves them to k8s-br0: ${named}`,
  );
});

defaultNetwork('commands and log print actions in the format of the first release', () => {
  assert.equal(changeText({ kind: 'define', name: 'lab', xml: '' }), 'define lab');
  assert.deepEqual(actionFields({ kind: 'define', name: 'lab', xml: '' }), { do: 'define', name: 'lab' });
  const network = { xml: '', active: true, autostart: true };
  assert.deepEqual(actionFields({ kind: 'save', name: 'default', network }), { do: 'keep', name: 'default' });
});

const recordPath = '/var/lib/virlan/default-network.json';

defaultNetwork('a record without a version, as in the first release, is read', () => {
  const text = '{\n  "xml": "<network/>",\n  "autostart": true,\n  "active": false\n}\n';
  const record = { xml: '<network/>', autostart: true, active: false };
  assert.deepEqual(parseSavedNetwork(text, recordPath), record);
  assert.deepEqual(JSON.parse(formatSavedNetwork(record)), { ...record, version: 1 });
});

defaultNetwork('an updated record keeps unknown fields, and whether default was active', () => {
  const earlier = parseSavedNetwork(
    '{"xml": "<old/>", "autostart": true, "active": true, "version": 1, "later": [1]}',
    recordPath,
  );
  const updated = updateSavedNetwork(earlier, { xml: '<new/>', autostart: false, active: false });
  assert.deepEqual(JSON.parse(formatSavedNetwork(updated)), {
    xml: '<new/>',
    autostart: true,
    active: true,
    version: 1,
    later: [1],
  });
  const fresh = { xml: '<new/>', autostart: false, active: true };
  assert.deepEqual(updateSavedNetwork(null, fresh), fresh);
});

defaultNetwork('a damaged record is an error that names the file and the remedy', () => {
  for (const text of [
    '',
    '{"xml": "<network/>"',
    '[]',
    '{"xml": 1, "autostart": true, "active": true}',
    '{"xml": "<network/>", "active": true}',
    '{"xml": "<network/>", "autostart": true, "active": true, "version": 2}',
    '{"xml": "<network/>", "autostart": true, "active": true, "version": "1"}',
  ]) {
    assert.throws(() => parseSavedNetwork(text, recordPath), {
      code: 'damaged-file',
      message: /^\/var\/lib\/virlan\/default-network\.json: .*: repair it, or remove it if/,
    });
  }
});

defaultNetwork('a pass-through has forward mode bridge and the same bridge', () => {
  assert(isPassThrough(passThrough, 'k8s-br0'));
  assert(!isPassThrough(passThrough, 'br1') && !isPassThrough({ ...nat, bridge: 'k8s-br0' }, 'k8s-br0'));
});

defaultNetwork.run();
