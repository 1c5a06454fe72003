// Ethernet addresses: `52:54:00:c5:f2:a7`.

declare const macBrand: unique symbol;

/** A unicast Ethernet address as six lower-case hex pairs with colons. */
export type Mac = string & { readonly [macBrand]: true };

/**
 * The prefix of MACs that libvirt generates for KVM machines (virDomainXMLOptionNew in its domain_conf.c).
 */
export const kvmPrefix = '52:54:00';

/** Reads six hex pairs with colons in either case; null for anything else, and for a multicast address. */
export function parseMac(text: string): Mac | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null;
  return Number.parseInt(text.slice(0, 2), 16) % 2 === 1 ? null : (text.toLowerCase() as Mac);
}

/** Returns the MAC of 52:54:00 and the first three of the given bytes. */
export function kvmMac(bytes: Uint8Array): Mac {
  const pairs = [...bytes.subarray(0, 3)].map(byte => byte.toString(16).padStart(2, '0'));
  return [kvmPrefix, ...pairs].join(':') as Mac;
}
