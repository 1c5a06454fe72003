# Completion of virlan for fish. Written by "npm run generate" from src/cli/commands.ts: changes here are lost.

function __virlan_networks
    set -l names (sed -n 's/^[[:space:]]*\[network\.\([A-Za-z0-9_-]*\)\].*/\1/p' /etc/virlan/virlan.ini 2>/dev/null)
    set -q names[1]; or set names k8s-br0
    printf '%s\n' $names
end

function __virlan_machines
    timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null | string match --regex '.+'
end

complete -c virlan -f
complete -c virlan -n __fish_use_subcommand -l help -d 'this help'
complete -c virlan -n __fish_use_subcommand -l version -d 'the version of virlan'
complete -c virlan -n __fish_use_subcommand -a up -d 'establish networks; does nothing where all is right'
complete -c virlan -n __fish_use_subcommand -a down -d 'take networks down and put back what was there before'
complete -c virlan -n __fish_use_subcommand -a plan -d 'show what "up" would change; changes nothing'
complete -c virlan -n __fish_use_subcommand -a status -d 'networks, machines, addresses, leases and what is wrong'
complete -c virlan -n __fish_use_subcommand -a watch -d 'follow libvirt in the foreground and keep all right'
complete -c virlan -n __fish_use_subcommand -a mac -d 'the MAC that a machine of this name has, or would get'
complete -c virlan -n __fish_use_subcommand -a ip -d 'the address that a machine of this name has, or would get'
complete -c virlan -n __fish_use_subcommand -a adopt -d 'give a booted machine its formula MAC at its next start'
complete -c virlan -n __fish_use_subcommand -a forget -d 'drop the reservations of a machine that is not running'
complete -c virlan -n '__fish_seen_subcommand_from up' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from up' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from up' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from up' -a '(__virlan_networks)'
complete -c virlan -n '__fish_seen_subcommand_from down' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from down' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from down' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from down' -a '(__virlan_networks)'
complete -c virlan -n '__fish_seen_subcommand_from plan' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from plan' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from plan' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from plan' -a '(__virlan_networks)'
complete -c virlan -n '__fish_seen_subcommand_from status' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from status' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from status' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from watch' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from watch' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from watch' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from mac' -l network -x -a '(__virlan_networks)' -d 'the network, where virlan.ini has several (the first)'
complete -c virlan -n '__fish_seen_subcommand_from mac' -l nic -x -a '' -d 'which of the machine\'s NICs on the network, from 0 (0)'
complete -c virlan -n '__fish_seen_subcommand_from mac' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from mac' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from mac' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from mac' -a '(__virlan_machines)'
complete -c virlan -n '__fish_seen_subcommand_from ip' -l network -x -a '(__virlan_networks)' -d 'the network, where virlan.ini has several (the first)'
complete -c virlan -n '__fish_seen_subcommand_from ip' -l nic -x -a '' -d 'which of the machine\'s NICs on the network, from 0 (0)'
complete -c virlan -n '__fish_seen_subcommand_from ip' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from ip' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from ip' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from ip' -a '(__virlan_machines)'
complete -c virlan -n '__fish_seen_subcommand_from adopt' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from adopt' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from adopt' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from adopt' -a '(__virlan_machines)'
complete -c virlan -n '__fish_seen_subcommand_from forget' -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -n '__fish_seen_subcommand_from forget' -l json -d 'for programs'
complete -c virlan -n '__fish_seen_subcommand_from forget' -l help -d 'this help'
complete -c virlan -n '__fish_seen_subcommand_from forget' -a '(__virlan_machines)'
