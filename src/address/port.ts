// Numbers of UDP ports that several parts of virlan agree on.

/** The port of VXLAN, for the tunnels between hosts (RFC 7348). It is not the kernel's default. */
export const vxlanPort = 4789;
