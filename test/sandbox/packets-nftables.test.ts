import { testPackets } from './packet-cases.ts';

testPackets('nftables');
