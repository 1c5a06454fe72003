// The tests of modes with firewall = iptables.
import { testModes } from './modes.ts';

testModes('iptables');
