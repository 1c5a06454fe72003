// The tests of modes with firewall = nftables.
import { testModes } from './modes.ts';

testModes('nftables');
