// Numbers of ports that several parts of virlan agree on.

/** The port of VXLAN, UDP, for the tunnels between hosts (RFC 7348). It is not the kernel's default. */
export const vxlanPort = 4789;

/** The port of BGP, TCP (RFC 4271). */
export const bgpPort = 179;
