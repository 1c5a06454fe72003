# Completion of virlan for fish. Written by "npm run generate" from src/cli/table.ts: changes here are lost.

function __virlan_networks
    set -l names (sed -n 's/^[[:space:]]*\[network\.\([A-Za-z0-9_-]*\)\].*/\1/p' /etc/virlan/virlan.ini 2>/dev/null)
    set -q names[1]; or set names k8s-br0
    printf '%s\n' $names
end

function __virlan_machines
    timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null
end

# Succeeds if the command on the line is $argv[1]; without an argument, if there is no command yet.
function __virlan_on
    set -l words (commandline -opc)[2..]
    while set -q words[1]; and string match --quiet -- "-*" $words[1]
        contains -- $words[1] --config --network --nic --output --host; and set -e words[1]
        set -e words[1]
    end
    test "$words[1]" = "$argv[1]"
end

complete -c virlan -f
complete -c virlan -l config -r -F -d 'configuration file (default: /etc/virlan/virlan.ini)'
complete -c virlan -l json -d 'print JSON, for programs'
complete -c virlan -l help -d 'show this help'
complete -c virlan -n '__virlan_on' -l version -d 'show the version of virlan'
complete -c virlan -n __virlan_on -a up -d 'set up networks; changes nothing that is already right'
complete -c virlan -n __virlan_on -a down -d 'take networks down and restore what was there before'
complete -c virlan -n __virlan_on -a plan -d 'show what "virlan up" would change; changes nothing'
complete -c virlan -n __virlan_on -a status -d 'show networks, machines, addresses, leases and problems'
complete -c virlan -n __virlan_on -a doctor -d 'find out why a machine has no address or no internet'
complete -c virlan -n __virlan_on -a inventory -d 'print the machines as a dynamic inventory of Ansible'
complete -c virlan -n __virlan_on -a metrics -d 'print metrics for Prometheus'
complete -c virlan -n __virlan_on -a watch -d 'follow libvirt and repair the networks, in the foreground'
complete -c virlan -n __virlan_on -a mac -d 'print the MAC that the machine has or would get'
complete -c virlan -n __virlan_on -a ip -d 'print the address that the machine has or would get'
complete -c virlan -n __virlan_on -a forward -d 'list, add or remove port forwards of a machine'
complete -c virlan -n __virlan_on -a adopt -d 'give a machine that has booted its formula MAC'
complete -c virlan -n __virlan_on -a forget -d 'delete the reservations of a machine that is not running'
complete -c virlan -n __virlan_on -a expel -d 'remove a host that died for good from the ledger that hosts share by etcd'
complete -c virlan -n '__virlan_on up' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on down' -l restore-default -d 'also restore libvirt\'s own networks as they were before'
complete -c virlan -n '__virlan_on down' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on plan' -a '(__virlan_networks)'
complete -c virlan -n '__virlan_on status' -l watch -d 'follow what changes, until q is pressed; with --json: a line for each change'
complete -c virlan -n '__virlan_on doctor' -l fix -d 'repair what virlan can repair, then check again'
complete -c virlan -n '__virlan_on doctor' -l follow -d 'with --json: a line for the checks of each subject as they are made, then the result'
complete -c virlan -n '__virlan_on doctor' -l verbose -d 'show the checks or reasons behind the result'
complete -c virlan -n '__virlan_on doctor' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on inventory' -l list -d 'all machines, which is the default: Ansible calls it so'
complete -c virlan -n '__virlan_on inventory' -l host -x -a '(__virlan_machines)' -d 'only the variables of this machine'
complete -c virlan -n '__virlan_on metrics' -l output -r -F -d 'write to this file, which is replaced as a whole'
complete -c virlan -n '__virlan_on mac' -l network -x -a '(__virlan_networks)' -d 'network (default: the first in virlan.ini)'
complete -c virlan -n '__virlan_on mac' -l nic -x -a '' -d 'NIC of the machine on that network (default: 0, the first)'
complete -c virlan -n '__virlan_on mac' -l verbose -d 'show the checks or reasons behind the result'
complete -c virlan -n '__virlan_on mac' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on ip' -l network -x -a '(__virlan_networks)' -d 'network (default: the first in virlan.ini)'
complete -c virlan -n '__virlan_on ip' -l nic -x -a '' -d 'NIC of the machine on that network (default: 0, the first)'
complete -c virlan -n '__virlan_on ip' -l verbose -d 'show the checks or reasons behind the result'
complete -c virlan -n '__virlan_on ip' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on forward' -l remove -d 'remove these forwards'
complete -c virlan -n '__virlan_on forward' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on adopt' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on forget' -a '(__virlan_machines)'
complete -c virlan -n '__virlan_on expel' -l with-machines -d 'also delete the reservations of its machines'
