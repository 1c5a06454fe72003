// The packet tests with firewall = nftables.
import { testPackets } from './packet-cases.ts';

testPackets('nftables');
