# compose.podman.yml: the differences for Podman.
topology:
with builtins;
with import ../lib.nix;
let
  networks = import ../containers/networks.nix;

  reset.raw = "!reset null";

  # Every service with a health check: Podman knows one interval only.
  isChecked = part: topology.kinds.${part.kind}.service part ? healthcheck;
  names = map (part: part.name) (filter isChecked (topology.parts "containers"));
  checked = {
    healthcheck = {
      interval = "5s";
      start_interval = reset;
    };
  };

  # Podman's name server has the network's own address, where Docker's is always 127.0.0.11. Its tmpfs
  # mounts have no owner.
  port = toString (head (topology.partsOf "nginx" "containers")).port.container;
  nginx =
    path: start:
    checked
    // {
      entrypoint = [
        "bash"
        "-c"
        "sed \"s|127.0.0.11|$$(awk '/^nameserver/ { print $$2; exit }' /etc/resolv.conf)|; s|include \\([a-z]\\)|include /stockmarket/nginx/\\1|\" /stockmarket/${path} >/run/nginx/nginx.conf && exec ${start}"
      ];
      tmpfs.raw = ''!override ["/run/nginx:size=1m,mode=1777", "/run/nginx/tmp:size=64m,mode=1777"]'';
    };
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The differences for Podman: `podman compose -f compose.yml -f compose.podman.yml up`

    Podman knows one interval for health checks. Its name server has another address in each network,
    its tmpfs mounts have no owner, and its networks do not know Docker's option.''
  {
    services = each names checked // {
      nginx = nginx "nginx/container.conf" "bash /stockmarket/nginx/start-container /run/nginx/nginx.conf ${port}";
      management = nginx "containers/management/nginx.conf" "nginx -e stderr -p /run/nginx -c /run/nginx/nginx.conf";
    };
    networks = each (filter (name: networks.${name} ? driver_opts) (attrNames networks)) {
      driver_opts = reset;
    };
  }
