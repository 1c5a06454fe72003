#!/bin/sh
# three-nodes.sh IMAGE [PUBLIC-KEY]: creates the machines node-1, node-2 and node-3 for kubeadm from one cloud
# image.
#
# IMAGE is a disk image with cloud-init, PUBLIC-KEY a file with the key for SSH. The image is copied; nothing
# is downloaded. Variables of the environment: VIRTUAL_ADDRESS (of the API server, outside of the network's
# dhcp-range; default: node-1's own), API_PORT (of this host, which leads to the API server of node-1; default:
# 6443), MEMORY (MiB), GROWTH (added to the disk), DIRECTORY (of the disks), NETWORK, and VIRT_TYPE (kvm, or
# qemu on a host without KVM).
set -eu

nodes='node-1 node-2 node-3'
virtual_address=${VIRTUAL_ADDRESS:-}
api_port=${API_PORT:-6443}
memory=${MEMORY:-2048}
growth=${GROWTH:-10G}
directory=${DIRECTORY:-/var/lib/libvirt/images}
network=${NETWORK:-k8s-br0}
virt_type=${VIRT_TYPE:-kvm}

fail() {
  printf 'three-nodes.sh: %s\n' "$1" >&2
  exit 1
}

case $# in
  1 | 2) ;;
  *) echo 'usage: three-nodes.sh IMAGE [PUBLIC-KEY]' >&2; exit 2 ;;
esac
image=$1
key=''
[ -r "$image" ] || fail "$image cannot be read"
if [ $# -eq 2 ]; then key=$(cat "$2"); fi
for program in virlan virsh virt-install qemu-img xorrisofs; do
  command -v "$program" > /dev/null || fail "$program is not installed: install it"
done
virsh --connect qemu:///system net-info "$network" > /dev/null || fail "libvirt has no network $network: see virlan status"
for node in $nodes; do
  # A failed query must not count as "no such machine", so it is a command of its own.
  names=$(virsh --connect qemu:///system list --all --name)
  ! printf '%s\n' "$names" | grep -qx "$node" || fail "a machine $node exists already: virsh undefine $node"
  for file in "$directory/$node.qcow2" "$directory/$node-seed.iso"; do
    [ ! -e "$file" ] || fail "$file exists already: remove it"
  done
done

seed=$(mktemp -d)
trap 'rm -rf "$seed"' EXIT

# kubeadm's preflight checks ask for this module and this sysctl.
cat > "$seed/user-data" << END
#cloud-config
ssh_authorized_keys: [${key:+"$key"}]
write_files:
  - {path: /etc/modules-load.d/kubernetes.conf, content: "br_netfilter\n"}
  - {path: /etc/sysctl.d/kubernetes.conf, content: "net.ipv4.ip_forward = 1\n"}
runcmd:
  - [modprobe, br_netfilter]
  - [sysctl, --system]
END
# By default cloud-init ties the guest's network configuration to the MAC of its first boot.
cat > "$seed/network-config" << END
version: 2
ethernets:
  nic: {match: {name: "e*"}, dhcp4: true}
END

for node in $nodes; do
  printf 'instance-id: %s\nlocal-hostname: %s\n' "$node" "$node" > "$seed/meta-data"
  output=$(xorrisofs -quiet -volid cidata -joliet -rock -output "$directory/$node-seed.iso" "$seed" 2>&1) || fail "$output"
  qemu-img convert -O qcow2 "$image" "$directory/$node.qcow2"
  qemu-img resize -q "$directory/$node.qcow2" "+$growth"
  # virt-install boots a machine before it defines it, so virlan cannot set the MAC before the first boot.
  mac=$(virlan mac "$node" --network "$network")
  # The seed is a virtio disk because the kernels of many cloud images have no driver for a CD drive.
  virt-install --connect qemu:///system --virt-type "$virt_type" --name "$node" --memory "$memory" \
    --vcpus 2 --osinfo linux2022 --import \
    --disk "path=$directory/$node.qcow2,bus=virtio" --disk "path=$directory/$node-seed.iso,bus=virtio,readonly=on" \
    --network "network=$network,mac=$mac,model=virtio" --graphics none --noautoconsole --autostart \
    --serial "pty,log.file=$directory/$node.log" --quiet
done

# Writes virlan's element into the metadata of a node, which applies at once: set_metadata NODE ATTRIBUTES CHILDREN.
set_metadata() {
  virsh --quiet --connect qemu:///system metadata "$1" --uri urn:virlan:machine:1 --key virlan --live --config \
    --set "<machine $2>$3</machine>" > /dev/null
}

# A port of the host leads to the API server, whose name is "api": of node-1, or of the virtual address.
forward="<forward port=\"$api_port\" to=\"6443\"/>"
if [ -z "$virtual_address" ]; then
  set_metadata node-1 'aliases="api"' "$forward"
else
  # Which node has the address is decided by kube-vip or keepalived; virlan lets each of them have it.
  allow="<allow address=\"$virtual_address\"/>"
  for node in $nodes; do
    if [ "$node" = node-1 ]; then set_metadata "$node" '' "$forward$allow"; else set_metadata "$node" '' "$allow"; fi
  done
  # It stays in the network when the nodes are deleted.
  virsh --connect qemu:///system net-dumpxml "$network" | grep -qF "<host ip='$virtual_address'>" ||
    virsh --quiet --connect qemu:///system net-update "$network" add dns-host \
      "<host ip='$virtual_address'><hostname>api</hostname></host>" --live --config > /dev/null
fi

printf '%-8s %-19s %s\n' NODE MAC ADDRESS
for node in $nodes; do
  printf '%-8s %-19s %s\n' "$node" "$(virlan mac "$node" --network "$network")" "$(virlan ip "$node" --network "$network")"
done
