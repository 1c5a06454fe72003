// libvirt's API on top of the procedures, under names made from libvirt's by rule: virDomainGetXMLDesc is
// domainGetXmlDesc. So libvirt's own documentation is the manual; only what differs is said here.

import type { Call, Domain, Network } from './procedures.ts';

/** virDomainXMLFlags */
export const DomainXml = { SECURE: 1, INACTIVE: 2, UPDATE_CPU: 4, MIGRATABLE: 8 } as const;

/** virNetworkXMLFlags */
export const NetworkXml = { INACTIVE: 1 } as const;

/** virConnectListAllDomainsFlags */
export const ListDomains = { ACTIVE: 1, INACTIVE: 2 } as const;

/** virConnectListAllNetworksFlags; the other way round than for domains. */
export const ListNetworks = { INACTIVE: 1, ACTIVE: 2 } as const;

/** virDomainDefineFlags */
export const DomainDefine = { VALIDATE: 1 } as const;

/** virDomainModificationImpact */
export const DomainAffect = { CURRENT: 0, LIVE: 1, CONFIG: 2 } as const;

/** virDomainMetadataType */
export const MetadataType = { DESCRIPTION: 0, TITLE: 1, ELEMENT: 2 } as const;

/** virDomainState */
export const DomainState = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const;

/**
 * Every method is rejected with LibvirtError if libvirt says no, with ConnectionError if there is no connection or it
 * breaks, and with CallTimeoutError if the answer takes too long.
 */
export class LibvirtApi {
  readonly #domains: Call;
  readonly #networks: Call;

  /**
   * @param domains calls a procedure of the daemon that has the machines
   * @param networks calls one of the daemon that has the networks
   */
  constructor(domains: Call, networks: Call) {
    this.#domains = domains;
    this.#networks = networks;
  }

  /** Major * 1,000,000 + minor * 1,000 + release. */
  async connectGetLibVersion(): Promise<number> {
    return Number((await this.#domains('REMOTE_PROC_CONNECT_GET_LIB_VERSION', undefined)).lib_ver);
  }

  /** @param flags of `ListDomains`; 0 for all */
  async connectListAllDomains(flags = 0): Promise<readonly Domain[]> {
    return (await this.#domains('REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags })).domains;
  }

  /** @param flags of `ListNetworks`; 0 for all */
  async connectListAllNetworks(flags = 0): Promise<readonly Network[]> {
    return (await this.#networks('REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS', { need_results: 1, flags })).nets;
  }

  async domainLookupByName(name: string): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME', { name })).dom;
  }

  async domainLookupByUuid(uuid: string): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID', { uuid })).dom;
  }

  /** @param flags of `DomainXml` */
  async domainGetXmlDesc(dom: Domain, flags = 0): Promise<string> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_GET_XML_DESC', { dom, flags })).xml;
  }

  /** @param flags of `DomainDefine` */
  async domainDefineXmlFlags(xml: string, flags = 0): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS', { xml, flags })).dom;
  }

  /** `state` is one of `DomainState`; what `reason` means depends on it. */
  domainGetState(dom: Domain): Promise<{ readonly state: number; readonly reason: number }> {
    return this.#domains('REMOTE_PROC_DOMAIN_GET_STATE', { dom, flags: 0 });
  }

  async domainIsActive(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_IS_ACTIVE', { dom })).active !== 0;
  }

  async domainIsPersistent(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_IS_PERSISTENT', { dom })).persistent !== 0;
  }

  async domainHasManagedSaveImage(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE', { dom, flags: 0 })).result !== 0;
  }

  /**
   * @param type of `MetadataType`
   * @param metadata the new text or element; null removes it
   * @param key prefix of the namespace, for elements
   * @param uri the namespace, for elements
   * @param flags of `DomainAffect`
   */
  domainSetMetadata(
    dom: Domain,
    type: number,
    metadata: string | null,
    key: string | null,
    uri: string | null,
    flags = 0,
  ): Promise<void> {
    return this.#domains('REMOTE_PROC_DOMAIN_SET_METADATA', { dom, type, metadata, key, uri, flags });
  }

  /** What is not there is an error: `isNoDomainMetadata`. */
  async domainGetMetadata(dom: Domain, type: number, uri: string | null, flags = 0): Promise<string> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_GET_METADATA', { dom, type, uri, flags })).metadata;
  }

  async networkLookupByName(name: string): Promise<Network> {
    return (await this.#networks('REMOTE_PROC_NETWORK_LOOKUP_BY_NAME', { name })).net;
  }

  /** @param flags of `NetworkXml` */
  async networkGetXmlDesc(net: Network, flags = 0): Promise<string> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_XML_DESC', { net, flags })).xml;
  }

  async networkDefineXml(xml: string): Promise<Network> {
    return (await this.#networks('REMOTE_PROC_NETWORK_DEFINE_XML', { xml })).net;
  }

  /** Starts a defined network. */
  networkCreate(net: Network): Promise<void> {
    return this.#networks('REMOTE_PROC_NETWORK_CREATE', { net });
  }

  /** Stops a running network; its definition stays. */
  networkDestroy(net: Network): Promise<void> {
    return this.#networks('REMOTE_PROC_NETWORK_DESTROY', { net });
  }

  networkUndefine(net: Network): Promise<void> {
    return this.#networks('REMOTE_PROC_NETWORK_UNDEFINE', { net });
  }

  async networkGetAutostart(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_AUTOSTART', { net })).autostart !== 0;
  }

  networkSetAutostart(net: Network, autostart: boolean): Promise<void> {
    return this.#networks('REMOTE_PROC_NETWORK_SET_AUTOSTART', { net, autostart: autostart ? 1 : 0 });
  }

  async networkIsActive(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_IS_ACTIVE', { net })).active !== 0;
  }

  async networkIsPersistent(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_IS_PERSISTENT', { net })).persistent !== 0;
  }

  async networkGetBridgeName(net: Network): Promise<string> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_BRIDGE_NAME', { net })).name;
  }
}
