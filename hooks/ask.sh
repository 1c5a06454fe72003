# shellcheck shell=sh
# virlan: what the hooks share. ask PATH sends $body to the watcher and leaves its answer's last line in $answer. False
# when there is no watcher, when it does not answer within three seconds, and when what it answers is no HTTP.

socket=/run/virlan/socket

# shellcheck disable=SC2154 # the hook sets body
request() {
  printf 'POST %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s' "$1" "${#body}" "$body"
}

# From the fastest of the programs that can, whichever the host has. An nc without -U fails at once. None closes its half
# of the connection when the request is out: the watcher would take that for an end of it all.
converse() {
  if command -v nc >/dev/null && request "$1" | nc -U -w 3 "$socket" 2>/dev/null; then
    return 0
  elif command -v socat >/dev/null; then
    request "$1" | socat -t 3 -T 3 - "UNIX-CONNECT:$socket,shut-none" 2>/dev/null
  elif command -v curl >/dev/null; then
    printf '%s' "$body" |
      curl --silent --include --max-time 3 --unix-socket "$socket" --data-binary @- "http://virlan$1" 2>/dev/null
  else
    return 1
  fi
}

ask() {
  [ -S "$socket" ] || return 1
  reply=$(LC_ALL=C converse "$1") || return 1
  case $reply in
    'HTTP/1.'[01]' 200 '*) ;;
    *) return 1 ;;
  esac
  # shellcheck disable=SC2034 # the hook reads answer
  answer=${reply##*"
"}
}
