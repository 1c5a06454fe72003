#!/bin/sh
# three-nodes.sh IMAGE [PUBLIC-KEY]: node-1, node-2 and node-3 from one cloud image, as kubeadm wants them.
#
# IMAGE is a disk image with cloud-init in it, PUBLIC-KEY a file whose key lets you in by SSH. The image is copied and
# nothing is downloaded. What the machines are like can be set by MEMORY (MiB), GROWTH (of the disk), DIRECTORY, NETWORK
# and VIRT_TYPE (kvm, or qemu where there is none).
set -eu

nodes='node-1 node-2 node-3'
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
[ -r "$image" ] || fail "there is no image $image"
if [ $# -eq 2 ]; then key=$(cat "$2"); fi
for program in virlan virsh virt-install qemu-img xorrisofs; do
  command -v "$program" > /dev/null || fail "$program is not there: install it"
done
virsh --connect qemu:///system net-info "$network" > /dev/null || fail "libvirt has no network $network: see virlan status"
for node in $nodes; do
  # A question to libvirt that fails need not mean that there is no such machine.
  names=$(virsh --connect qemu:///system list --all --name)
  ! printf '%s\n' "$names" | grep -qx "$node" || fail "there is a machine $node already: virsh undefine $node"
  for file in "$directory/$node.qcow2" "$directory/$node-seed.iso"; do
    [ ! -e "$file" ] || fail "$file is there already: remove it"
  done
done

seed=$(mktemp -d)
trap 'rm -rf "$seed"' EXIT

# What kubeadm looks for on a node before it begins.
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
# Without this cloud-init pins the guest's configuration to the MAC that it finds at its first boot.
cat > "$seed/network-config" << END
version: 2
ethernets:
  nic: {match: {name: "e*"}, dhcp4: true}
END

for node in $nodes; do
  printf 'instance-id: %s\nlocal-hostname: %s\n' "$node" "$node" > "$seed/meta-data"
  said=$(xorrisofs -quiet -volid cidata -joliet -rock -output "$directory/$node-seed.iso" "$seed" 2>&1) || fail "$said"
  qemu-img convert -O qcow2 "$image" "$directory/$node.qcow2"
  qemu-img resize -q "$directory/$node.qcow2" "+$growth"
  # virt-install boots a machine before it defines it, so virlan could not give it its MAC before the first boot.
  mac=$(virlan mac "$node" --network "$network")
  # The seed is a virtio disk: the kernels of many cloud images know no CD drive.
  virt-install --connect qemu:///system --virt-type "$virt_type" --name "$node" --memory "$memory" \
    --vcpus 2 --osinfo linux2022 --import \
    --disk "path=$directory/$node.qcow2,bus=virtio" --disk "path=$directory/$node-seed.iso,bus=virtio,readonly=on" \
    --network "network=$network,mac=$mac,model=virtio" --graphics none --noautoconsole --autostart \
    --serial "pty,log.file=$directory/$node.log" --quiet
done

printf '%-8s %-19s %s\n' NODE MAC ADDRESS
for node in $nodes; do
  printf '%-8s %-19s %s\n' "$node" "$(virlan mac "$node" --network "$network")" "$(virlan ip "$node" --network "$network")"
done
