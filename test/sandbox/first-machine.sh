#!/bin/busybox sh
# shellcheck shell=dash
# first-machine.sh: the init process of the machines of first-machine.test.ts. A machine serves its host name by HTTP
# and HTTPS, and asks a URL of its kernel's command line, url=http://web, for as long as it has no answer.
/bin/busybox mkdir -p /dev /proc /sys /etc /www
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
ip link set lo up
ip link set eth0 up
udhcpc -i eth0 -s /dhcp.sh >/dev/null
echo "search $(cat /domain)" >> /etc/resolv.conf
url=$(sed -n 's/.*url=\([^ ]*\).*/\1/p' /proc/cmdline)
echo "pages of $(cat /address)" > /www/index.html
httpd -p 80 -h /www
(cd /www && exec openssl s_server -accept 443 -cert /tls/cert.pem -key /tls/key.pem -WWW >/dev/null 2>&1) &
until [ -z "$url" ] || curl --silent --show-error --max-time 5 --output /answer "$url"; do sleep 1; done >/dev/ttyS0 2>&1
echo "answer: $(cat /answer 2>/dev/null)" > /dev/ttyS0
while :; do sleep 1000; done
