# shellcheck shell=bash
# Completion of virlan for bash. Written by "npm run generate" from src/cli/table.ts: changes here are lost.

# Reads words from stdin, one on a line, and offers those that begin with the word at the cursor. Names of machines
# are hostile: they are quoted, and nothing in them is expanded.
_virlan_offer() {
  local line word
  while IFS= read -r line; do
    [[ -n $line ]] || continue
    printf -v word %q "$line"
    [[ $word == "$cur"* || $line == "$cur"* ]] && COMPREPLY+=("$word")
  done
}

_virlan_words() {
  _virlan_offer < <(printf '%s\n' "$@")
}

_virlan_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_virlan_networks() {
  local names
  names=$(sed -n 's/^[[:space:]]*\[network\.\([A-Za-z0-9_-]*\)\].*/\1/p' /etc/virlan/virlan.ini 2>/dev/null)
  _virlan_offer <<<"${names:-k8s-br0}"
}

_virlan_machines() {
  _virlan_offer < <(timeout 2 virsh --readonly --connect qemu:///system list --all --name </dev/null 2>/dev/null)
}

_virlan() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' operands=0 index
  COMPREPLY=()
  case ${COMP_WORDS[COMP_CWORD - 1]} in
    --config) _virlan_files; return ;;
    --network) _virlan_networks; return ;;
    --nic) :; return ;;
    --output) _virlan_files; return ;;
    --host) _virlan_machines; return ;;
  esac
  for ((index = 1; index < COMP_CWORD; index++)); do
    case ${COMP_WORDS[index]} in
      --config | --network | --nic | --output | --host) ((index++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=${COMP_WORDS[index]}; else ((operands++)); fi ;;
    esac
  done
  case $command:$cur in
    :-*) _virlan_words --config --json --help --version ;;
    :*) _virlan_words up down plan status doctor inventory metrics watch mac ip forward adopt forget expel ;;
    up:-*) _virlan_words --config --json --help ;;
    up:*) _virlan_networks ;;
    down:-*) _virlan_words --restore-default --config --json --help ;;
    down:*) _virlan_networks ;;
    plan:-*) _virlan_words --config --json --help ;;
    plan:*) _virlan_networks ;;
    status:-*) _virlan_words --watch --config --json --help ;;
    doctor:-*) _virlan_words --fix --follow --verbose --config --json --help ;;
    doctor:*) ((operands < 1)) && _virlan_machines ;;
    inventory:-*) _virlan_words --list --host --config --json --help ;;
    metrics:-*) _virlan_words --output --config --json --help ;;
    watch:-*) _virlan_words --config --json --help ;;
    mac:-*) _virlan_words --network --nic --verbose --config --json --help ;;
    mac:*) ((operands < 1)) && _virlan_machines ;;
    ip:-*) _virlan_words --network --nic --verbose --config --json --help ;;
    ip:*) ((operands < 1)) && _virlan_machines ;;
    forward:-*) _virlan_words --remove --config --json --help ;;
    forward:*) _virlan_machines ;;
    adopt:-*) _virlan_words --config --json --help ;;
    adopt:*) ((operands < 1)) && _virlan_machines ;;
    forget:-*) _virlan_words --config --json --help ;;
    forget:*) ((operands < 1)) && _virlan_machines ;;
    expel:-*) _virlan_words --with-machines --config --json --help ;;
  esac
}

complete -F _virlan virlan
