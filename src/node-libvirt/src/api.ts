// libvirt's API on top of the procedures. Names are derived from libvirt's by one rule: virDomainGetXMLDesc
// is domainGetXmlDesc. libvirt's documentation applies (https://libvirt.org/html/); comments here state the
// differences.

import type { Call, Domain, Network } from './procedures.ts';

/** Flags for the XML of a domain (virDomainXMLFlags). */
export const DomainXml = { SECURE: 1, INACTIVE: 2, UPDATE_CPU: 4, MIGRATABLE: 8 } as const;

/** Flags for the XML of a network (virNetworkXMLFlags). */
export const NetworkXml = { INACTIVE: 1 } as const;

/** Flags for the list of domains (virConnectListAllDomainsFlags). */
export const ListDomains = { ACTIVE: 1, INACTIVE: 2 } as const;

/**
 * Flags for the list of networks (virConnectListAllNetworksFlags). The numbers differ from those of
 * `ListDomains`.
 */
export const ListNetworks = { INACTIVE: 1, ACTIVE: 2 } as const;

/** Flags for the definition of a domain (virDomainDefineFlags). */
export const DomainDefine = { VALIDATE: 1 } as const;

/**
 * Flags that select the running domain, its definition or the current one of both
 * (virDomainModificationImpact).
 */
export const DomainAffect = { CURRENT: 0, LIVE: 1, CONFIG: 2 } as const;

/** The kinds of metadata of a domain (virDomainMetadataType). */
export const MetadataType = { DESCRIPTION: 0, TITLE: 1, ELEMENT: 2 } as const;

/** The state of a domain (virDomainState). */
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
 * The calls. Each method is rejected with
 * - LibvirtError if libvirt returned an error,
 * - ConnectionError if there is no connection, or it ended before the reply; then the outcome is unknown,
 * - CallTimeoutError if the reply took too long; then the outcome is unknown,
 * - XdrError if an argument cannot be encoded; then nothing was sent.
 */
export class LibvirtApi {
  readonly #domains: Call;
  readonly #networks: Call;

  /**
   * @param domains calls a procedure of the daemon that serves domains
   * @param networks calls a procedure of the daemon that serves networks
   */
  constructor(domains: Call, networks: Call) {
    this.#domains = domains;
    this.#networks = networks;
  }

  /** Returns the daemon's version as major * 1,000,000 + minor * 1,000 + release: 9.0.0 is 9000000. */
  async connectGetLibVersion(): Promise<number> {
    return Number((await this.#domains('REMOTE_PROC_CONNECT_GET_LIB_VERSION', null)).lib_ver);
  }

  /**
   * Lists domains.
   *
   * @param flags of `ListDomains`; 0 for all
   */
  async connectListAllDomains(flags = 0): Promise<readonly Domain[]> {
    return (await this.#domains('REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags })).domains;
  }

  /**
   * Lists networks.
   *
   * @param flags of `ListNetworks`; 0 for all
   */
  async connectListAllNetworks(flags = 0): Promise<readonly Network[]> {
    return (await this.#networks('REMOTE_PROC_CONNECT_LIST_ALL_NETWORKS', { need_results: 1, flags })).nets;
  }

  /** Finds a domain by its name; rejected with an error of which `isNoDomain` is true if there is none. */
  async domainLookupByName(name: string): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME', { name })).dom;
  }

  /** Finds a domain by its UUID, with dashes; rejected as `domainLookupByName`. */
  async domainLookupByUuid(uuid: string): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID', { uuid })).dom;
  }

  /**
   * Returns the XML of a domain: of the running one, or with `DomainXml.INACTIVE` its definition.
   *
   * @param flags of `DomainXml`
   */
  async domainGetXmlDesc(dom: Domain, flags = 0): Promise<string> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_GET_XML_DESC', { dom, flags })).xml;
  }

  /**
   * Defines a domain, or replaces the definition of the domain with that UUID.
   *
   * @param flags of `DomainDefine`
   */
  async domainDefineXmlFlags(xml: string, flags = 0): Promise<Domain> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS', { xml, flags })).dom;
  }

  /** Returns the state, one of `DomainState`, and its reason, a number whose meaning depends on the state. */
  domainGetState(dom: Domain): Promise<{ readonly state: number; readonly reason: number }> {
    return this.#domains('REMOTE_PROC_DOMAIN_GET_STATE', { dom, flags: 0 });
  }

  /** Tells whether a domain runs. */
  async domainIsActive(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_IS_ACTIVE', { dom })).active !== 0;
  }

  /** Tells whether a domain has a definition, and so remains when it stops. */
  async domainIsPersistent(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_IS_PERSISTENT', { dom })).persistent !== 0;
  }

  /** Tells whether the next start of a domain resumes a saved state. */
  async domainHasManagedSaveImage(dom: Domain): Promise<boolean> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE', { dom, flags: 0 })).result !== 0;
  }

  /**
   * Sets or removes the title, the description or one element of the metadata of a domain.
   *
   * @param type of `MetadataType`
   * @param metadata the new text or XML element; null removes it
   * @param key prefix of the XML namespace, for elements; null otherwise
   * @param uri the XML namespace, for elements; null otherwise
   * @param flags of `DomainAffect`
   */
  async domainSetMetadata(
    dom: Domain,
    type: number,
    metadata: string | null,
    key: string | null,
    uri: string | null,
    flags = 0,
  ): Promise<void> {
    await this.#domains('REMOTE_PROC_DOMAIN_SET_METADATA', { dom, type, metadata, key, uri, flags });
  }

  /**
   * Returns the title, the description or one element of the metadata of a domain; rejected with an error of
   * which `isNoDomainMetadata` is true if there is none.
   */
  async domainGetMetadata(dom: Domain, type: number, uri: string | null, flags = 0): Promise<string> {
    return (await this.#domains('REMOTE_PROC_DOMAIN_GET_METADATA', { dom, type, uri, flags })).metadata;
  }

  /** Finds a network by its name; rejected with an error of which `isNoNetwork` is true if there is none. */
  async networkLookupByName(name: string): Promise<Network> {
    return (await this.#networks('REMOTE_PROC_NETWORK_LOOKUP_BY_NAME', { name })).net;
  }

  /**
   * Returns the XML of a network: of the running one, or with `NetworkXml.INACTIVE` its definition.
   *
   * @param flags of `NetworkXml`
   */
  async networkGetXmlDesc(net: Network, flags = 0): Promise<string> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_XML_DESC', { net, flags })).xml;
  }

  /** Defines a network, or replaces the definition of the network with that name. */
  async networkDefineXml(xml: string): Promise<Network> {
    return (await this.#networks('REMOTE_PROC_NETWORK_DEFINE_XML', { xml })).net;
  }

  /** Starts a defined network. */
  async networkCreate(net: Network): Promise<void> {
    await this.#networks('REMOTE_PROC_NETWORK_CREATE', { net });
  }

  /** Stops a running network; its definition stays. */
  async networkDestroy(net: Network): Promise<void> {
    await this.#networks('REMOTE_PROC_NETWORK_DESTROY', { net });
  }

  /** Removes the definition of a network. */
  async networkUndefine(net: Network): Promise<void> {
    await this.#networks('REMOTE_PROC_NETWORK_UNDEFINE', { net });
  }

  /** Tells whether a network starts together with its daemon. */
  async networkGetAutostart(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_AUTOSTART', { net })).autostart !== 0;
  }

  /** Sets whether a network starts together with its daemon. */
  async networkSetAutostart(net: Network, autostart: boolean): Promise<void> {
    await this.#networks('REMOTE_PROC_NETWORK_SET_AUTOSTART', { net, autostart: autostart ? 1 : 0 });
  }

  /** Tells whether a network runs. */
  async networkIsActive(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_IS_ACTIVE', { net })).active !== 0;
  }

  /** Tells whether a network has a definition, and so remains when it stops. */
  async networkIsPersistent(net: Network): Promise<boolean> {
    return (await this.#networks('REMOTE_PROC_NETWORK_IS_PERSISTENT', { net })).persistent !== 0;
  }

  /** Returns the name of the network's bridge. */
  async networkGetBridgeName(net: Network): Promise<string> {
    return (await this.#networks('REMOTE_PROC_NETWORK_GET_BRIDGE_NAME', { net })).name;
  }
}
