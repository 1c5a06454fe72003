// The picture of a network: places of outside, host, bridge and machines, and which of the ways is broken. Pure.
import type { MachineStatus } from '../../../../src/report/machines.ts';
import type { NetworkStatus } from '../../../../src/report/status.ts';
import { isSevere } from './health.ts';

export type WayState = 'works' | 'broken' | 'off' | 'unknown';

/** A box. Its texts may be hostile. */
export interface Box {
  readonly key: string;
  readonly kind: 'outside' | 'host' | 'bridge' | 'machine' | 'more';
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly title: string;
  readonly detail: string;
  readonly state: WayState;
}

/** A line between two boxes. */
export interface Way {
  readonly key: string;
  readonly from: Point;
  /** Corners between both ends; each line is horizontal or vertical. */
  readonly corners: readonly Point[];
  readonly to: Point;
  readonly state: WayState;
}

export type Point = readonly [x: number, y: number];

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly ways: readonly Way[];
  /** The picture in words. */
  readonly description: string;
}

export const boxHeight = 46;
const gap = 14;
const rowGap = 34;
const minBoxWidth = 132;
const maxBoxWidth = 190;
const trunkWidth = 240;

/** Ways share a part of their lines: what is broken is drawn last, above all others. */
const layers: readonly WayState[] = ['off', 'unknown', 'works', 'broken'];

/** Rows of machines; what has no room is in one box. */
const maxRows = 2;

/** Stages of a probe within the bridge; those after them are about the way to the outside. */
const insideStages: ReadonlySet<string> = new Set(['probe-port', 'probe-lease', 'probe-dns']);

/** Returns the picture of a network for a width in pixels. */
export function pictureOf(network: NetworkStatus, width: number): Picture {
  const columns = Math.max(2, Math.min(8, Math.floor((width + gap) / (minBoxWidth + gap))));
  const drawn = chooseMachines(network.machines, columns * maxRows);
  const hidden = network.machines.length - drawn.length;
  const trunk = trunkBoxes(network, width);
  const cells = [
    ...drawn.map(machine => machineCell(machine)),
    ...(hidden === 0 ? [] : [moreCell(network.machines, drawn)]),
  ];
  const boxWidth = Math.min(maxBoxWidth, (width - gap * (columns - 1)) / columns);
  const firstY = trunk.length * (boxHeight + rowGap);
  const machines = cells.map((cell, index) => {
    const row = Math.floor(index / columns);
    const inRow = Math.min(columns, cells.length - row * columns);
    const left = (width - inRow * boxWidth - (inRow - 1) * gap) / 2;
    const x = left + (index % columns) * (boxWidth + gap);
    return { ...cell, x, y: firstY + row * (boxHeight + rowGap), width: boxWidth };
  });
  const rows = Math.ceil(cells.length / columns);
  const boxes = [...trunk, ...machines];
  return {
    width,
    height: (trunk.length + rows) * (boxHeight + rowGap) - rowGap + 2,
    boxes,
    ways: [...trunkWays(network, trunk), ...machineWays(machines, trunk.at(-1))].sort(
      (a, b) => layers.indexOf(a.state) - layers.indexOf(b.state),
    ),
    description: describe(network, boxes),
  };
}

/** Chooses the machines to draw: those with a problem first, then those that run. */
function chooseMachines(machines: readonly MachineStatus[], count: number): MachineStatus[] {
  const rank = (machine: MachineStatus) =>
    stateOf(machine) === 'broken' ? 0 : machine.state === 'running' ? 1 : 2;
  const chosen = [...machines].sort((a, b) => rank(a) - rank(b));
  // One place is that of the box for all others.
  return chosen.slice(0, machines.length > count ? count - 1 : count);
}

function stateOf({ problem, state }: MachineStatus): WayState {
  if (problem !== null) return 'broken';
  return state === 'running' ? 'works' : 'off';
}

type Cell = Omit<Box, 'x' | 'y' | 'width'>;

function machineCell(machine: MachineStatus): Cell {
  const { uuid, nic, name, ip, lease } = machine;
  const title = nic === 0 ? name : `${name} (NIC ${nic})`;
  const detail = ip ?? lease?.ip ?? 'no address';
  return { key: `${uuid} ${nic}`, kind: 'machine', title, detail, state: stateOf(machine) };
}

function moreCell(all: readonly MachineStatus[], drawn: readonly MachineStatus[]): Cell {
  const hidden = all.filter(machine => !drawn.includes(machine));
  const running = hidden.filter(({ state }) => state === 'running').length;
  const isBroken = hidden.some(machine => stateOf(machine) === 'broken');
  return {
    key: 'more',
    kind: 'more',
    title: `${hidden.length} more`,
    detail: `${running} running`,
    state: isBroken ? 'broken' : running > 0 ? 'works' : 'off',
  };
}

function trunkBoxes(network: NetworkStatus, width: number): Box[] {
  const { bridge, gateway, mode, firewall, dnsmasq, up } = network;
  const boxWidth = Math.min(trunkWidth, width);
  const services = [
    ...(firewall === null || mode === 'open' ? [] : [firewall]),
    dnsmasq.running ? 'DHCP and DNS' : 'no DHCP, no DNS',
  ];
  const hasDrift = network.faults.some(isSevere);
  const cells: Cell[] = [
    {
      key: 'outside',
      kind: 'outside',
      title: 'Outside',
      detail: mode === 'isolated' ? 'not reached: isolated' : mode,
      state: outsideWay(network),
    },
    {
      key: 'host',
      kind: 'host',
      title: 'This host',
      detail: services.join(', '),
      state: dnsmasq.running && !hasDrift ? 'works' : 'broken',
    },
    { key: 'bridge', kind: 'bridge', title: bridge, detail: gateway, state: bridgeWay({ ...network, up }) },
  ];
  return cells.map((cell, index) => ({
    ...cell,
    x: (width - boxWidth) / 2,
    y: index * (boxHeight + rowGap),
    width: boxWidth,
  }));
}

/** The way between host and outside, as the last probe saw it. */
function outsideWay({ mode, probe }: NetworkStatus): WayState {
  if (mode === 'isolated') return 'off';
  if (probe === null || probe.passed === null) return 'unknown';
  if (probe.passed) return 'works';
  return probe.check !== null && insideStages.has(probe.check) ? 'unknown' : 'broken';
}

/** The way between host and bridge. */
function bridgeWay({ up, probe }: NetworkStatus): WayState {
  const isCut = probe?.passed === false && probe.check !== null && insideStages.has(probe.check);
  return up && !isCut ? 'works' : 'broken';
}

function trunkWays(network: NetworkStatus, trunk: readonly Box[]): Way[] {
  const states = [outsideWay(network), bridgeWay(network)];
  return states.flatMap((state, index) => {
    const [above, below] = [trunk[index], trunk[index + 1]];
    return above === undefined || below === undefined
      ? []
      : [{ key: `${above.key} ${below.key}`, from: bottomOf(above), corners: [], to: topOf(below), state }];
  });
}

function machineWays(machines: readonly Box[], bridge: Box | undefined): Way[] {
  if (bridge === undefined) return [];
  const from = bottomOf(bridge);
  const firstBend = from[1] + rowGap / 2;
  return machines.map(machine => {
    const to = topOf(machine);
    const bend = to[1] - rowGap / 2;
    // Ways to a later row pass between the boxes of those above it.
    const isLeft = to[0] < from[0];
    const aside = isLeft ? machine.x + machine.width + gap / 2 : machine.x - gap / 2;
    const corners: Point[] =
      bend === firstBend
        ? [
            [from[0], bend],
            [to[0], bend],
          ]
        : [
            [from[0], firstBend],
            [aside, firstBend],
            [aside, bend],
            [to[0], bend],
          ];
    const state = bridge.state === 'broken' && machine.state === 'works' ? 'broken' : machine.state;
    return { key: `way ${machine.key}`, from, corners, to, state };
  });
}

function bottomOf({ x, y, width }: Box): Point {
  return [x + width / 2, y + boxHeight];
}

function topOf({ x, y, width }: Box): Point {
  return [x + width / 2, y];
}

function describe({ name, machines }: NetworkStatus, boxes: readonly Box[]): string {
  const broken = boxes.filter(({ state }) => state === 'broken').map(({ title }) => title);
  const running = machines.filter(({ state }) => state === 'running').length;
  const counts = `${machines.length} machines, ${running} running`;
  return `${name}: ${counts}; ${broken.length === 0 ? 'nothing is broken' : `broken: ${broken.join(', ')}`}`;
}
