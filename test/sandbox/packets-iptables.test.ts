// The packet tests with firewall = iptables.
import { testPackets } from './packet-cases.ts';

testPackets('iptables');
