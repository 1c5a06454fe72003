#!/bin/sh
# image.sh SUITE NODE DIRECTORY: makes a bootable machine with Debian bookworm or trixie, or Ubuntu noble, as
# DIRECTORY/{disk.img,vmlinuz,initrd.img}. NODE is the program that becomes /usr/bin/node if the suite's own is too old
# for virlan.
#
# The machine is a usual libvirt host without virlan: default network autostarted, AppArmor enforcing. At the end of its
# boot it runs test/machine/inside.sh of the checkout on its second disk, a tar file.
set -eu

suite=$1 node=$2 directory=$3
shift 3

packages=apt,systemd-sysv,dbus,udev,iproute2,procps,kmod,polkitd,initramfs-tools
packages=$packages,apparmor,apparmor-profiles
packages=$packages,libvirt-daemon-system,libvirt-daemon-config-network,libvirt-daemon-driver-qemu,libvirt-clients
packages=$packages,qemu-system-x86,qemu-utils,ipxe-qemu,seabios,dnsmasq-base,nftables,iptables,netcat-openbsd,rpm
case $suite in
  bookworm) packages=$packages,linux-image-cloud-amd64 ;;
  trixie) packages=$packages,linux-image-cloud-amd64,nodejs ;;
  noble)
    packages=$packages,linux-image-virtual
    # Debian 12 has no package of Ubuntu's keys: this one is of ubuntu-keyring 2023.11.28.1.
    set -- --components=main,universe --keyring="$(dirname "$0")/../ubuntu-archive-2018.asc"
    ;;
esac

mkdir -p "$directory"
root=$directory/root
mmdebstrap --quiet --variant=minbase "$@" --include="$packages" "$suite" "$root"

[ "$suite" = trixie ] || install -m 755 "$node" "$root/usr/bin/node"
chroot "$root" /usr/bin/node --version >/dev/null || { echo "image.sh: $node does not run on Debian $suite" >&2; exit 1; }

echo virlan-test >"$root/etc/hostname"
echo 00112233445566778899aabbccddeeff >"$root/etc/machine-id"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
# The host itself uses QEMU's network and name server. iPXE ignores requests to shut down, so that the timeout is short.
rm -f "$root/etc/resolv.conf"
echo 'nameserver 10.0.2.3' >"$root/etc/resolv.conf"
printf '[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/80-eth0.network"
printf 'SHUTDOWN_TIMEOUT=1\n' >"$root/etc/default/libvirt-guests"
ln -sf /etc/libvirt/qemu/networks/default.xml "$root/etc/libvirt/qemu/networks/autostart/default.xml"
# Debian's profile of dnsmasq only complains; here it is enforced. The other profiles are unused, and take a minute to
# load in emulation.
find "$root/etc/apparmor.d" -maxdepth 1 -type f ! -name 'usr.*libvirt*' ! -name usr.sbin.dnsmasq -delete
sed -i -e 's/flags=(complain,/flags=(/' -e 's/ flags=(complain)//' "$root/etc/apparmor.d/usr.sbin.dnsmasq"

# A service that starts before libvirtd records all changes of links.
cat >"$root/etc/systemd/system/link-watch.service" <<'END'
[Unit]
Description=Records all changes of links
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=exec
ExecStart=/usr/sbin/ip -timestamp -oneline monitor link
StandardOutput=file:/run/link-watch

[Install]
WantedBy=sysinit.target
END
cat >"$root/etc/systemd/system/virlan-test.service" <<'END'
[Unit]
Description=Runs the test of the second disk
Requires=dev-vdb.device dev-virtio\x2dports-output.device
After=multi-user.target dev-vdb.device dev-virtio\x2dports-output.device

[Service]
Type=oneshot
Environment=LC_ALL=C HOME=/root
ExecStart=/bin/sh -c 'mkdir -p /root/virlan && tar -C /root/virlan -xf /dev/vdb && exec sh /root/virlan/test/machine/inside.sh'
StandardOutput=file:/dev/virtio-ports/output
StandardError=inherit

[Install]
WantedBy=multi-user.target
END
chroot "$root" systemctl --quiet enable link-watch.service virlan-test.service systemd-networkd.service
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer getty@tty1.service serial-getty@ttyS0.service
# In emulation on a busy host, a device may take minutes to appear.
mkdir "$root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=15min\n' >"$root/etc/systemd/system.conf.d/emulated.conf"
[ "$suite" = bookworm ] || echo 'DefaultDeviceTimeoutSec=15min' >>"$root/etc/systemd/system.conf.d/emulated.conf"

cp "$root"/boot/vmlinuz-* "$directory/vmlinuz"
cp "$root"/boot/initrd.img-* "$directory/initrd.img"
truncate --size=6G "$directory/disk.img"
mkfs.ext4 -q -d "$root" "$directory/disk.img"
rm -rf "$root"
