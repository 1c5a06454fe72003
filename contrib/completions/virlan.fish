# Completion of virlan for fish. Written by "npm run generate" from src/cli/commands.ts: changes here are lost.

function __virlan_networks
    set -l names (sed -n 's/^[[:space:]]*\[network\.\([A-Za-z0-9_-]*\)\].*/\1/p' /etc/virlan/virlan.ini 2>/dev/null)
    set -q names[1]; or set names k8s-br0
    printf '%s\n' $names
end

function __virlan_machines
    timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null
end

# Whether the command on the line is this one; without a name, whether there is none yet.
function __virlan_on
    set -l words (commandline -opc)[2..]
    while set -q words[1]; and string match --quiet -- "-*" $words[1]
        contains -- $words[1] --config --network --nic; and set -e words[1]
        set -e words[1]
    end
    test "$words[1]" = "$argv[1]"
end

complete -c virlan -f
complete -c virlan -l config -r -F -d 'instead of /etc/virlan/virlan.ini'
complete -c virlan -l json -d 'for programs'
complete -c virlan -l help -d 'this help'
complete -c virlan -n '__virlan_on' -l version -d 'the version of virlan'
complete -c virlan -n __virlan_on -a up -d 'establish networks; does nothing where all is right'
complete -c virlan -n __virlan_on -a down -d 'take networks down and put back what was there before'
complete -c virlan -n __virlan_on -a plan -d 'show what "up" would change; changes nothing'
complete -c virlan -n __virlan_on -a status -d 'networks, machines, addresses, leases and what is wrong'
complete -c virlan -n __virlan_on -a doctor -d 'say why a machine has no address or no internet, and mend it'
complete -c virlan -n __virlan_on -a watch -d 'follow libvirt in the foreground and keep all right'
complete -c virlan -n __virlan_on -a mac -d 'the MAC that a machine of this name has, or would get'
complete -c virlan -n __virlan_on -a ip -d 'the address that a machine of this name has, or would get'
complete -c virlan -n __virlan_on -a adopt -d 'give a booted machine its formula MAC at its next start'
complete -c virlan -n __virlan_on -a forget -d 'drop the reservations of a machine that is not running'
complete -c virlan -n '__virlan_on up' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on down' -l restore-default -d 'put libvirt\'s own networks back as they were before virlan'
complete -c virlan -n '__virlan_on down' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on plan' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on doctor' -l fix -d 'mend what virlan can mend, then look again'
complete -c virlan -n '__virlan_on doctor' -l verbose -d 'show each check, also where all is well'
complete -c virlan -n '__virlan_on doctor' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on mac' -l network -x -a '(__virlan_networks)' -d 'the network, where virlan.ini has several (the first)'
complete -c virlan -n '__virlan_on mac' -l nic -x -a '' -d 'which of the machine\'s NICs on the network, from 0 (0)'
complete -c virlan -n '__virlan_on mac' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on ip' -l network -x -a '(__virlan_networks)' -d 'the network, where virlan.ini has several (the first)'
complete -c virlan -n '__virlan_on ip' -l nic -x -a '' -d 'which of the machine\'s NICs on the network, from 0 (0)'
complete -c virlan -n '__virlan_on ip' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on adopt' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on forget' -a '(__virlan_machines)'
