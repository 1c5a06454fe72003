// Recognizes a bridge that somebody has renamed: it has the address and the ports, and its name is missing. Pure.
import type { LinksAndRoutes } from './kernel/links.ts';
import type { AppliedState } from './observe.ts';

/**
 * Returns the name that a bridge has at present; null if it has its own, or is gone. Its index is that which dnsmasq
 * has bound its sockets to: no other link ever gets it.
 */
export function presentName(
  bridge: string,
  { links }: Pick<LinksAndRoutes, 'links'>,
  { dnsmasq }: Pick<AppliedState, 'dnsmasq'>,
): string | null {
  if (dnsmasq === null || links.some(({ name }) => name === bridge)) return null;
  return links.find(({ index, type }) => index === dnsmasq.linkIndex && type === 'bridge')?.name ?? null;
}

/** Returns a reading as it would be if a link had another name. */
export function withName<Reading extends LinksAndRoutes>(
  reading: Reading,
  from: string,
  to: string,
): Reading {
  const named = (name: string | null) => (name === from ? to : name);
  return {
    ...reading,
    links: reading.links.map(link => ({
      ...link,
      name: link.name === from ? to : link.name,
      master: named(link.master),
    })),
    routes: reading.routes.map(route => ({ ...route, link: named(route.link) })),
  };
}
