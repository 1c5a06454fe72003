// default-network.test.ts: tests the decisions about libvirt's networks, their restoration and the saved
// record.
import assert from 'node:assert/strict';
import { suite } from 'uvu';
import type { Domain } from '../../src/libvirt/domain-xml.ts';
import { isPassThrough, parseLibvirtNetwork } from '../../src/libvirt/network-xml.ts';
import {
  decideDefaultFates,
  decideNetworks,
  decideRemovals,
  decideRestoration,
  type KnownNetwork,
  type LibvirtNetworkProblem,
  type NetworkAction,
  type NetworkFacts,
  type SavedNetwork,
} from '../../src/libvirt-networks/decide.ts';
import { markOfFile, networkUuid } from '../../src/libvirt-networks/own-network.ts';
import { restoreBy } from '../../src/libvirt-networks/restore.ts';
import {
  formatSavedNetwork,
  parseSavedNetwork,
  updateSavedNetwork,
} from '../../src/libvirt-networks/saved-network.ts';
import type { OwnersChange } from '../../src/libvirt-networks/shipped-network.ts';
import {
  actionFields,
  changeText,
  defaultFateText,
  libvirtNetworkProblemText,
} from '../../src/libvirt-networks/words.ts';
import { asMade, config, mac, uuid } from './builders.ts';

const defaultNetwork = suite('default network');

/** libvirt's own network, as `virsh net-dumpxml` shows it while it is active. */
const shippedXml = `<network connections='1'>
  <name>default</name>
  <uuid>9a05da11-e96b-47f3-8253-a3a482e445f5</uuid>
  <forward mode='nat'>
    <nat>
      <port start='1024' end='65535'/>
    </nat>
  </forward>
  <bridge name='virbr0' stp='on' delay='0'/>
  <mac address='52:54:00:0a:cd:21'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='192.168.122.2' end='192.168.122.254'/>
    </dhcp>
  </ip>
</network>`;

const nat: KnownNetwork = {
  name: 'default',
  forward: 'nat',
  bridge: 'virbr0',
  xml: shippedXml,
  active: true,
  autostart: true,
  persistent: true,
  connections: 0,
};
/** A network that virlan defined. */
const passThrough: KnownNetwork = {
  ...nat,
  forward: 'bridge',
  bridge: 'k8s-br0',
  xml: "<network><metadata><virlan:network xmlns:virlan='urn:virlan:network:1'/></metadata></network>",
};
const own: KnownNetwork = { ...passThrough, name: 'k8s-br0' };

function user(name: string, network = 'default'): Domain {
  return {
    name,
    uuid: uuid(1),
    nics: [{ mac: mac(1), bridge: null, network, tap: null, ...asMade }],
    metadata: [],
  };
}

/** Returns a domain that names a bridge instead of a network. */
function bridgeUser(name: string, bridge = 'virbr0', tap: string | null = null): Domain {
  return {
    name,
    uuid: uuid(2),
    nics: [{ mac: mac(2), bridge, network: null, tap, ...asMade }],
    metadata: [],
  };
}

function brief({ kind, name }: NetworkAction): string {
  return `${kind} ${name}`;
}

const unused: NetworkFacts = {
  defined: [],
  running: [],
  defaultPorts: [],
  machineId: '00112233445566778899aabbccddeeff',
  file: null,
  takenDown: new Set(),
  resting: new Set(),
};

/** Returns the decision: actions as `KIND NAME`, then problems. */
function decide(
  text: string,
  known: readonly KnownNetwork[],
  defined: readonly Domain[] = [],
  running: readonly Domain[] = [],
  defaultPorts: readonly string[] = [],
): (string | LibvirtNetworkProblem)[] {
  const { actions, problems } = decideNetworks(config(text), known, {
    ...unused,
    defined,
    running,
    defaultPorts,
  });
  return [...actions.map(brief), ...problems];
}

const gone = ['save default', 'destroy default', 'undefine default'];
const replaced = [...gone, 'define default', 'start default', 'autostart default'];
const stays: LibvirtNetworkProblem[] = [{ kind: 'default-in-use', users: ['web'], ports: [] }];

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
    // virlan does not save its own pass-through as the network that was there before it.
    ['auto', { ...passThrough, bridge: 'br-other' }, [], [], gone.slice(1)],
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

defaultNetwork('libvirt networks are left alone while their network of virlan is down', () => {
  const text = '[network.k8s-br0]\n[network.lab]\nsubnet = 10.0.0.0/24\nbridge = br1';
  const decideWithDown = (...down: string[]) =>
    decideNetworks(config(text), [nat], { ...unused, takenDown: new Set(down) }).actions.map(brief);
  const made = (name: string) => [`define ${name}`, `start ${name}`, `autostart ${name}`];
  assert.deepEqual(decideWithDown('k8s-br0', 'lab'), []);
  // The other one does not take the place of `default` instead.
  assert.deepEqual(decideWithDown('k8s-br0'), made('lab'));
  assert.deepEqual(decideWithDown('lab'), [...made('k8s-br0'), ...gone]);
});

defaultNetwork('default is saved before it is removed', () => {
  const { actions } = decideNetworks(config(''), [own, nat], unused);
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
  const { actions } = decideNetworks(config(text), [own], unused);
  const [defined] = actions.flatMap(action =>
    action.kind === 'define' ? parseLibvirtNetwork(action.xml) : [],
  );
  assert.deepEqual(defined, { ok: true, value: { name: 'lab', forward: 'bridge', bridge: 'br1' } });
});

defaultNetwork('a network that was only stopped is not started at once, one that was undefined is', () => {
  const decideResting = (known: readonly KnownNetwork[]) =>
    decideNetworks(config('[network.k8s-br0]\ndefault-network = keep'), known, {
      ...unused,
      resting: new Set(['k8s-br0']),
    }).actions.map(brief);
  assert.deepEqual(decideResting([{ ...own, active: false }]), []);
  assert.deepEqual(decideResting([]), ['define k8s-br0', 'start k8s-br0', 'autostart k8s-br0']);
  assert.deepEqual(decideResting([{ ...own, name: 'other', active: false }]).length, 3);
});

defaultNetwork('a network has the same UUID whenever it is defined, and keeps that of an active one', () => {
  const uuids = (known: readonly KnownNetwork[]) =>
    decideNetworks(config('[network.k8s-br0]\ndefault-network = keep'), known, unused).actions.flatMap(
      action => (action.kind === 'define' ? /<uuid>(.*)<\/uuid>/.exec(action.xml)?.[1] : []),
    );
  const uuid = networkUuid(unused.machineId, 'k8s-br0');
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(uuids([]), [uuid]);
  assert.notEqual(networkUuid(unused.machineId, 'default'), uuid);
  assert.notEqual(networkUuid('', 'k8s-br0'), uuid);
  const transient = {
    ...own,
    persistent: false,
    xml: '<network><uuid>9a05da11-e96b-47f3-8253-a3a482e445f5</uuid></network>',
  };
  assert.deepEqual(uuids([transient]), ['9a05da11-e96b-47f3-8253-a3a482e445f5']);
});

defaultNetwork('a libvirt network of that name that leads elsewhere is kept as it is', () => {
  const keep = config('[network.k8s-br0]\ndefault-network = keep');
  for (const persistent of [true, false]) {
    const theirs = { ...nat, name: 'k8s-br0', persistent };
    assert.deepEqual(decideNetworks(keep, [theirs], unused), { actions: [], problems: [] });
    assert.deepEqual(decideRestoration([theirs], null), []);
  }
});

defaultNetwork('of several networks, the first without default-network = keep replaces default', () => {
  const text =
    '[network.a]\ndefault-network = keep\n[network.b]\nsubnet = 10.0.0.0/24\ndefault-network = replace';
  const { actions } = decideNetworks(config(text), [nat], unused);
  const [, xml = ''] = actions.flatMap(action =>
    action.kind === 'define' && action.name === 'default' ? ['', action.xml] : [],
  );
  assert.match(xml, /<bridge name='b'\/>/);
});

/** Returns the network of this name as virlan defines it. */
function defined(text: string, name: string, facts: Partial<NetworkFacts> = {}): KnownNetwork {
  const { actions } = decideNetworks(config(text), [], { ...unused, ...facts });
  const [xml = ''] = actions.flatMap(action =>
    action.kind === 'define' && action.name === name ? action.xml : [],
  );
  return { ...passThrough, name, xml };
}

const other = markOfFile('/root/other.ini', '/etc/virlan/virlan.ini');

defaultNetwork('a network of virlan follows another bridge, and is removed with its section', () => {
  const text = '[network.k8s-br0]\ndefault-network = keep';
  const moved = `${text}\nbridge = br9`;
  const made = { ...defined(text, 'k8s-br0'), name: 'k8s-br0' };
  const gone = '[network.other]\ndefault-network = keep';
  const others = { ...defined(gone, 'other'), name: 'other', bridge: 'other' };
  const on = (...known: KnownNetwork[]) => [...known, others];
  const bridgeOf = ({ actions }: { actions: readonly NetworkAction[] }) =>
    actions.flatMap(action => (action.kind === 'define' ? parseLibvirtNetwork(action.xml) : []));
  const decision = decideNetworks(config(moved), [made], unused);
  assert.deepEqual(decision.actions.map(brief), ['destroy k8s-br0', 'define k8s-br0', 'start k8s-br0']);
  assert.deepEqual(bridgeOf(decision), [
    { ok: true, value: { name: 'k8s-br0', forward: 'bridge', bridge: 'br9' } },
  ]);
  assert.deepEqual(decide(moved, [{ ...made, active: false, autostart: false }]), [
    'define k8s-br0',
    'start k8s-br0',
    'autostart k8s-br0',
  ]);
  assert.deepEqual(decide(gone, on(made)), ['destroy k8s-br0', 'undefine k8s-br0']);
  assert.deepEqual(decide(text, [made]), []);
  // A copy that somebody made, one without the mark, and that of another file or host: none follows this file.
  const copy = { ...made, xml: made.xml.replace(/<uuid>../, '<uuid>ff') };
  const unmarked = { ...made, xml: made.xml.replace(/<metadata>[\s\S]*<\/metadata>/, '') };
  const ofFile = { ...made, xml: defined(text, 'k8s-br0', { file: other }).xml };
  const ofHost = { ...made, xml: defined(text, 'k8s-br0', { machineId: 'ff' }).xml };
  for (const theirs of [copy, unmarked, ofFile, ofHost, { ...made, name: 'lab' }]) {
    assert.deepEqual(
      decide(moved, [theirs.name === 'lab' ? made : theirs]).length,
      theirs.name === 'lab' ? 3 : 0,
    );
    assert.deepEqual(decide(gone, on(theirs)), []);
  }
});

defaultNetwork('another configuration file removes only what was made from it', () => {
  const text = '[network.lab]\ndefault-network = keep';
  const gone = '[network.new]\ndefault-network = keep';
  const byInstalled = { ...defined(text, 'lab'), name: 'lab', bridge: 'lab' };
  const byOther = { ...byInstalled, xml: defined(text, 'lab', { file: other }).xml };
  const removals = (known: KnownNetwork, file: string | null) =>
    decideNetworks(config(gone), [known], { ...unused, file })
      .actions.map(brief)
      .filter(action => action.endsWith(' lab'));
  assert.deepEqual(removals(byInstalled, other), []);
  assert.deepEqual(removals(byOther, null), []);
  assert.deepEqual(removals(byInstalled, null), ['destroy lab', 'undefine lab']);
  assert.deepEqual(removals(byOther, other), ['destroy lab', 'undefine lab']);
  // `virlan down` removes it whatever file it is from, and nobody else's.
  const down = (known: KnownNetwork, ...names: string[]) =>
    decideRemovals(new Set(names), [known], unused).actions.map(brief);
  for (const known of [byInstalled, byOther]) {
    assert.deepEqual(down(known, 'lab'), ['destroy lab', 'undefine lab']);
    assert.deepEqual(down(known, 'new'), []);
  }
  assert.deepEqual(down({ ...byInstalled, xml: '<network/>' }, 'lab'), []);
});

defaultNetwork('a network in use neither moves nor goes, and is named', () => {
  const text = '[network.k8s-br0]\ndefault-network = keep';
  const made = { ...defined(text, 'k8s-br0'), name: 'k8s-br0' };
  const moved = `${text}\nbridge = br9`;
  const gone = '[network.other]\ndefault-network = keep';
  const others = { ...defined(gone, 'other'), name: 'other', bridge: 'other' };
  const web = user('web', 'k8s-br0');
  const inUse = (to: string | null, users: string[], ports: number) => [
    { kind: 'network-in-use', name: 'k8s-br0', to, users, ports },
  ];
  assert.deepEqual(decide(moved, [made], [web], [web]), inUse('br9', ['web'], 0));
  assert.deepEqual(decide(gone, [made, others], [web], [web]), inUse(null, ['web'], 0));
  const plugged = { ...made, connections: 3 };
  assert.deepEqual(decide(gone, [plugged, others], [], [web]), inUse(null, ['web'], 2));
  assert.deepEqual(decide(moved, [plugged]), inUse('br9', [], 3));
  // A machine that does not run, or is elsewhere, is in nobody's way.
  assert.deepEqual(decide(gone, [made, others], [web], [user('db')]).length, 2);
});

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
    [[{ ...own, xml: '<network/>' }], null, []],
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
  const fates = (mode: string, domains: readonly Domain[], xml: string | null = shippedXml) =>
    decideDefaultFates(config(`[network.k8s-br0]\ndefault-network = ${mode}`), xml, domains);
  const machines = [user('web'), user('db', 'other'), user('a "b"')];
  const users = ['web', 'a "b"'];
  const network = 'k8s-br0';
  for (const mode of ['auto', 'replace'])
    assert.deepEqual(fates(mode, machines), [{ kind: 'move', network, users }]);
  assert.deepEqual(fates('remove', machines), [{ kind: 'start-no-longer', network, users }]);
  assert.deepEqual(fates('keep', machines), [{ kind: 'stay', users }]);
  assert.deepEqual(fates('auto', machines, reserved), [{ kind: 'stay', users }]);
  assert.deepEqual(fates('replace', machines, reserved), [{ kind: 'move', network, users }]);
  for (const mode of ['remove', 'replace', 'keep']) assert.deepEqual(fates(mode, [user('db', 'other')]), []);
  for (const xml of [shippedXml, null])
    assert.deepEqual(fates('auto', [user('db', 'other')], xml), [{ kind: 'removed' }]);
  // A machine that names the bridge itself.
  const gns = { kind: 'bridge-gone', network, users: ['gns'] };
  assert.deepEqual(fates('auto', [bridgeUser('gns')]), [gns, { kind: 'removed' }]);
  assert.deepEqual(fates('replace', [...machines, bridgeUser('gns'), bridgeUser('lan', 'br0')]), [
    { kind: 'move', network, users },
    gns,
  ]);
  assert.deepEqual(fates('keep', [bridgeUser('gns')]), [{ kind: 'stay', users: ['gns'] }]);
});

/** Returns libvirt's own definition with a change. */
function changed(from: string | RegExp, to: string): string {
  const xml = shippedXml.replace(from, to);
  assert.notEqual(xml, shippedXml);
  return xml;
}

const reserved = changed('</dhcp>', "<host mac='52:54:00:00:00:07' ip='192.168.122.7'/></dhcp>");

defaultNetwork(
  'a default that an administrator changed is left alone, unless the setting is explicit',
  () => {
    const element = (name: string): OwnersChange => ({ kind: 'element', name });
    const cases: [xml: string, forward: string | null, bridge: string | null, OwnersChange][] = [
      [reserved, 'nat', 'virbr0', element('host')],
      [changed('<ip ', "<domain name='lab'/><ip "), 'nat', 'virbr0', element('domain')],
      [changed('<ip ', "<dns><host ip='192.168.122.9'/></dns><ip "), 'nat', 'virbr0', element('dns')],
      [
        changed('</ip>', "</ip><ip family='ipv6' address='fd00::1' prefix='64'/>"),
        'nat',
        'virbr0',
        element('ip'),
      ],
      [changed('<nat>', "<interface dev='eth0'/><nat>"), 'nat', 'virbr0', element('interface')],
      ...(
        [
          ['<network ', 'network', 'ipv6', 'yes'],
          ['<network ', 'network', 'trustGuestRxFilters', 'yes'],
          ['<bridge ', 'bridge', 'zone', 'trusted'],
          ['<bridge ', 'bridge', 'macTableManager', 'libvirt'],
          ['<nat>', 'nat', 'ipv6', 'yes'],
          ['<forward ', 'forward', 'dev', 'eth0'],
        ] as const
      ).map(([tag, name, attribute, value]): (typeof cases)[number] => [
        changed(tag, `<${name} ${attribute}='${value}'${tag.endsWith('>') ? '>' : ' '}`),
        'nat',
        'virbr0',
        { kind: 'attribute', element: name, name: attribute },
      ]),
      [changed("'nat'", "'route'"), 'route', 'virbr0', { kind: 'forward-mode', mode: 'route' }],
      [changed(/<forward[\s\S]*<\/forward>/, ''), null, 'virbr0', { kind: 'forward-mode', mode: null }],
      [changed('virbr0', 'virbr7'), 'nat', 'virbr7', { kind: 'bridge', bridge: 'virbr7' }],
      [
        "<network><name>default</name><forward mode='bridge'/><bridge name='br0'/></network>",
        'bridge',
        'br0',
        { kind: 'forward-mode', mode: 'bridge' },
      ],
    ];
    for (const [xml, forward, bridge, change] of cases) {
      const found = { ...nat, xml, forward, bridge };
      for (const domains of [[], [user('web')]]) {
        assert.deepEqual(decide('', [own, found], domains), [{ kind: 'default-changed', change }], xml);
        assert.deepEqual(decide('[network.k8s-br0]\ndefault-network = remove', [own, found], domains), gone);
      }
    }
    // Packages choose the subnet, and old ones wrote less.
    const minimal =
      "<network><name>default</name><bridge name='virbr0'/><forward/><ip address='192.168.124.1'/></network>";
    assert.deepEqual(decide('', [own, { ...nat, xml: minimal }]), gone);
  },
);

defaultNetwork('default stays while anything is plugged into its bridge, whoever plugged it', () => {
  const inUse = (users: string[], ports: string[]) => [{ kind: 'default-in-use', users, ports }];
  const tapped = bridgeUser('gns', 'virbr0', 'vnet3');
  for (const mode of ['auto', 'replace', 'remove']) {
    const text = `[network.k8s-br0]\ndefault-network = ${mode}`;
    assert.deepEqual(decide(text, [own, nat], [], [], ['gns3tap0-0']), inUse([], ['gns3tap0-0']));
    assert.deepEqual(
      decide(text, [own, nat], [tapped], [tapped], ['vnet3', 'veth1']),
      inUse(['gns'], ['veth1']),
    );
    // Started later, its tap is not plugged in yet.
    assert.deepEqual(decide(text, [own, nat], [], [bridgeUser('gns')]), inUse(['gns'], []));
  }
  assert.deepEqual(decide('', [own, nat], [bridgeUser('gns')]), gone);
  assert.deepEqual(decide('', [own, nat], [], [bridgeUser('lan', 'br0')]), gone);
  // Nothing is lost with a network that did not make its bridge.
  const lan = { ...nat, forward: 'bridge', bridge: 'br0' };
  const text = '[network.k8s-br0]\ndefault-network = replace';
  assert.deepEqual(decide(text, [own, lan], [], [bridgeUser('lan', 'br0')]), replaced);
});

defaultNetwork('each problem and each effect on machines is one line with quoted names', () => {
  const users = ['web', 'a "b"\n'];
  const named = '"web", "a \\"b\\"\\n"';
  assert.equal(
    libvirtNetworkProblemText({ kind: 'default-in-use', users, ports: [] }),
    `libvirt's network default stays while machines run on it: ${named}: shut the machines down, then "virlan up"`,
  );
  assert.equal(
    libvirtNetworkProblemText({ kind: 'default-in-use', users: [], ports: ['tap0', 'veth1'] }),
    'libvirt\'s network default stays while NICs are plugged into its bridge: "tap0", "veth1": remove the NICs or end the programs that have them, then "virlan up"',
  );
  const changes: [OwnersChange, string][] = [
    [{ kind: 'forward-mode', mode: 'bridge' }, 'forward mode "bridge"'],
    [{ kind: 'forward-mode', mode: null }, 'it does not forward'],
    [{ kind: 'bridge', bridge: 'br7' }, 'bridge "br7"'],
    [{ kind: 'bridge', bridge: null }, 'it has no bridge'],
    [{ kind: 'element', name: 'host' }, 'it has <host>'],
    [{ kind: 'attribute', element: 'bridge', name: 'zone' }, 'its <bridge> has zone='],
    [{ kind: 'unreadable' }, 'its XML cannot be read'],
  ];
  for (const [change, text] of changes) {
    assert.equal(
      libvirtNetworkProblemText({ kind: 'default-changed', change }),
      `libvirt's network default is not as libvirt defines it (${text}) and stays: "default-network = keep" confirms that, "replace" or "remove" takes its place`,
    );
  }
  assert.equal(
    libvirtNetworkProblemText({ kind: 'start-failed', name: 'default', error: 'address in use' }),
    "libvirt's network default is defined again, but does not start: address in use",
  );
  assert.equal(
    libvirtNetworkProblemText({ kind: 'network-in-use', name: 'lab', to: null, users, ports: 1 }),
    `libvirt's network lab is not in virlan.ini and stays while machines run on it: ${named}, and NICs of other programs are plugged into it: 1: shut the machines down, then "virlan up"`,
  );
  assert.equal(
    libvirtNetworkProblemText({ kind: 'network-in-use', name: 'lab', to: 'br9', users: [], ports: 2 }),
    `libvirt's network lab does not lead to br9 while NICs of other programs are plugged into it: 2: unplug them, then "virlan up"`,
  );
  const machines = "machines on libvirt's network default";
  assert.equal(defaultFateText({ kind: 'stay', users }), `${machines} stay there: ${named}`);
  assert.equal(
    defaultFateText({ kind: 'move', network: 'k8s-br0', users }),
    `${machines} start on k8s-br0 from now on: ${named}`,
  );
  assert.equal(
    defaultFateText({ kind: 'start-no-longer', network: 'k8s-br0', users }),
    `${machines} do not start until "virsh edit" moves them to k8s-br0: ${named}`,
  );
  assert.equal(
    defaultFateText({ kind: 'bridge-gone', network: 'k8s-br0', users }),
    `machines on libvirt's bridge virbr0 do not start until "virsh edit" moves them to k8s-br0: ${named}`,
  );
  assert.equal(
    defaultFateText({ kind: 'removed' }),
    'libvirt has no network default, which virt-install without --network, minikube and kcli expect: "default-network = replace" in virlan.ini gives it back',
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
