// Scripts for nft that load, change and remove the guard of a bridge. Pure.
import { type Elements, setNames } from './elements.ts';
import { guardTable } from './ruleset.ts';

/** Elements of one line, so that no line is too long for people to read. */
const elementsPerLine = 100;

/** Returns a script that adds the table with its elements, and fails where one exists. */
export function createGuardScript(bridge: string, table: string, elements: Elements): string {
  return `create table ${guardTable(bridge)}\n${table}${elementScript(bridge, 'add', elements)}`;
}

/** Returns a script that replaces the table in one transaction: the old one is in force until then. */
export function replaceGuardScript(bridge: string, table: string, elements: Elements): string {
  return `${removeGuardScript(bridge)}${table}${elementScript(bridge, 'add', elements)}`;
}

/**
 * Returns a script that changes elements of a table in one transaction. A surplus element that the hook or the watcher
 * has removed meanwhile is not an error: each is added before it is deleted.
 */
export function changeGuardScript(bridge: string, surplus: Elements, missing: Elements): string {
  const removal = elementScript(bridge, 'add', surplus) + elementScript(bridge, 'delete', surplus);
  return removal + elementScript(bridge, 'add', missing);
}

/** Returns a script that removes the table, if it exists. */
export function removeGuardScript(bridge: string): string {
  return `table ${guardTable(bridge)}\ndelete table ${guardTable(bridge)}\n`;
}

function elementScript(bridge: string, verb: 'add' | 'delete', elements: Elements): string {
  const lines = setNames.flatMap(name => {
    const all = [...elements[name]];
    const chunks = Array.from({ length: Math.ceil(all.length / elementsPerLine) }, (_, index) =>
      all.slice(index * elementsPerLine, (index + 1) * elementsPerLine),
    );
    return chunks.map(chunk => `${verb} element ${guardTable(bridge)} ${name} { ${chunk.join(', ')} }\n`);
  });
  return lines.join('');
}
