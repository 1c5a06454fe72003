// Reads the reason of a failure from the standard error of ip(8), by the line that names it:
//   RTNETLINK answers: Network is unreachable
//   Error: Nexthop has invalid gateway.

/**
 * Returns the kernel's reason (rtnl_talk and nl_dump_ext_ack in iproute2's lib); null where there is none.
 */
export function ipErrorReason(stderr: string): string | null {
  return /^(?:RTNETLINK answers|Error): (.+)$/m.exec(stderr)?.[1] ?? null;
}
