# shellcheck shell=sh
# virlan: functions that the hooks share; each hook sources this file. A hook sets body, calls `ask PATH`, and
# reads answer.

socket=/run/virlan/socket

# shellcheck disable=SC2154 # the hook sets body
request() {
  printf 'POST %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s' "$1" "${#body}" "$body"
}

# Sends the request and prints the response, with the fastest program that the host has; an nc without -U
# fails at once. No program may close its sending half after the request: the watcher would take that for the
# end of the connection.
exchange() {
  # Each sh of the supported hosts has -ef.
  # shellcheck disable=SC3013
  if [ /usr/bin/nc -ef /usr/bin/ncat ]; then
    # nc is ncat: its -w limits only how long it connects. No other program is tried: the watcher hangs then.
    request "$1" | timeout 3 nc -U --no-shutdown "$socket" 2>/dev/null
  elif command -v nc >/dev/null && request "$1" | nc -U -w 3 "$socket" 2>/dev/null; then
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

# ask PATH: posts $body to the watcher and sets answer to the last line of its response. Fails when no watcher
# runs, when it does not answer within three seconds, and when the response is not HTTP with status 200.
ask() {
  [ -S "$socket" ] || return 1
  response=$(exchange "$1") || return 1
  case $response in
    'HTTP/1.'[01]' 200 '*) ;;
    *) return 1 ;;
  esac
  # shellcheck disable=SC2034 # the hook reads answer
  answer=${response##*"
"}
}
