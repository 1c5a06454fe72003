import assert from 'node:assert/strict';
import { suite } from 'uvu';
import { countRules } from '../../src/firewall/count.ts';
import { iptablesRules, renderIptables } from '../../src/firewall/iptables.ts';
import { makeRuleset } from '../../src/firewall/model.ts';
import { network } from './builders.ts';

const count = suite('count');

count('rules of a script are counted as the kernel lists them', () => {
  const listing = [
    'table ip virlan-k8s-br0 {',
    '\tchain input {',
    '\t\ttype filter hook input priority filter; policy accept;',
    '\t\tiifname "k8s-br0" tcp dport { 1, 2, 3,',
    '\t\t\t\t\t       4, 5 } accept',
    '\t\tct state invalid drop',
    '\t}',
    '}',
  ];
  assert.equal(countRules('nftables', listing), 2);
  const script = renderIptables(iptablesRules(makeRuleset(network()))).split('\n');
  const listed = script.map(line => line.replace(/^-I (\S+) 1 /, '-A $1 '));
  assert(countRules('iptables', script) > 10);
  assert.equal(countRules('iptables', listed), countRules('iptables', script));
  assert.equal(
    countRules(
      'iptables',
      listed.filter(line => !line.startsWith('-A FORWARD')),
    ),
    countRules('iptables', script) - 1,
  );
});

count.run();
