#!/bin/busybox sh
# shellcheck shell=dash
# first-machine.sh: the init process of the machines of first-machine.test.ts. A machine serves its host name by HTTP
# and HTTPS, and asks a URL of its kernel's command line, url=http://web, for as long as it has no answer.
# shellcheck source=test/sandbox/guest-start.sh
. /start.sh
mkdir /www
echo "search $(cat /domain)" >> /etc/resolv.conf
url=$(sed -n 's/.*url=\([^ ]*\).*/\1/p' /proc/cmdline)
echo "pages of $(cat /address)" > /www/index.html
httpd -p 80 -h /www
(cd /www && exec openssl s_server -accept 443 -cert /tls/cert.pem -key /tls/key.pem -WWW >/dev/null 2>&1) &
until [ -z "$url" ] || curl --silent --show-error --max-time 5 --output /answer "$url"; do sleep 1; done >/dev/ttyS0 2>&1
echo "answer: $(cat /answer 2>/dev/null)" > /dev/ttyS0
while :; do sleep 1000; done
