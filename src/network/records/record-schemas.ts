// Schemas for parts of network state in records, with addresses as text:
//
//   {"address": "192.168.100.1/24", "broadcast": "192.168.100.255"}
import * as v from 'valibot';
import { formatIp, parseAddressWithPrefix, parseIpv4 } from '../../address/ip.ts';
import { type Mac, parseMac } from '../../address/mac.ts';
import type { BridgeState, LinkAddress } from '../state/state.ts';

export const macSchema = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }): Mac => {
    const mac = parseMac(dataset.value);
    if (mac !== null) return mac;
    addIssue({ message: 'not a MAC' });
    return NEVER;
  }),
);

const linkAddressSchema = v.pipe(
  v.looseObject({ address: v.string(), broadcast: v.nullable(v.string()) }),
  v.rawTransform(({ dataset, addIssue, NEVER }): LinkAddress => {
    const { address, broadcast, ...others } = dataset.value;
    const read = parseAddressWithPrefix(address);
    if (read !== null) {
      const { address: ip, length: prefixLength } = read;
      return { ...others, ip, prefixLength, broadcast: parseIpv4(broadcast ?? '') };
    }
    addIssue({ message: 'not an address with a prefix length' });
    return NEVER;
  }),
);

export const bridgeSchema = v.looseObject({
  mac: macSchema,
  mtu: v.number(),
  stp: v.boolean(),
  /** Earlier versions did not change it; 32768 is the kernel's. */
  priority: v.optional(v.number(), 32_768),
  forwardDelay: v.nullable(v.number()),
  up: v.boolean(),
  /** Earlier versions did not change it; on is the kernel's. */
  arp: v.optional(v.boolean(), true),
  addresses: v.array(linkAddressSchema),
});

export const dummySchema = v.looseObject({
  mac: macSchema,
  /** Earlier versions did not change it; 1500 is the kernel's. */
  mtu: v.optional(v.number(), 1500),
  up: v.boolean(),
  master: v.nullable(v.string()),
});

/** Returns a bridge as `bridgeSchema` reads it. */
export function bridgeFields(bridge: BridgeState) {
  const addresses = bridge.addresses.map(({ ip, prefixLength, broadcast, ...others }) => ({
    ...others,
    address: `${formatIp(ip)}/${prefixLength}`,
    broadcast: broadcast === null ? null : formatIp(broadcast),
  }));
  return { ...bridge, addresses };
}
