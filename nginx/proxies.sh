# shellcheck shell=bash
# Sourced by start-local and start-container.

# trusted_proxies NETWORKS: prints the part of the configuration that says which proxies may tell the client's address.
# They are separated by spaces or commas.
trusted_proxies() {
  local network networks
  IFS=$' \t\n,' read -rd '' -a networks <<<"$1" || true
  for network in "${networks[@]}"; do
    [[ $network =~ ^[0-9a-fA-F.:]+(/[0-9]{1,3})?$ ]] || {
      echo "NGINX_TRUSTED_PROXIES must be addresses and networks, for example 10.1.0.0/16, not $network" >&2
      exit 78
    }
  done
  for network in "${networks[@]}"; do echo "set_real_ip_from $network;"; done
  # shellcheck disable=SC2016 # NGINX's variables
  echo 'geo $realip_remote_addr $is_from_proxy {'
  echo '    default 0;'
  for network in "${networks[@]}"; do echo "    $network 1;"; done
  echo '}'
}
