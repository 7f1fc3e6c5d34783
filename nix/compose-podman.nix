# compose.podman.yml: what Podman has to be told otherwise.
topology:
let
  yaml = import ./yaml.nix;
  containers = import ./containers.nix topology;
  inherit (containers) kinds;
  inherit (builtins) concatMap elem filter;

  optional = condition: entries: if condition then entries else [ ];

  # Podman's name server has the network's own address, where Docker's is always the same.
  start = "sed \"s|127.0.0.11|$$(awk '/^nameserver/ { print $$2; exit }' /etc/resolv.conf)|; s|include |include /etc/nginx/|\" /etc/nginx/nginx.conf >/run/nginx/nginx.conf && exec nginx -e stderr -p /run/nginx -c /run/nginx/nginx.conf";
  isNginx =
    part:
    elem part.kind [
      "nginx"
      "management"
    ];

  service = part: {
    ${part.name} = yaml.map (
      optional (isNginx part) [
        {
          entrypoint = [
            "bash"
            "-c"
            start
          ];
        }
        {
          tmpfs = yaml.verbatim "!override [\"/run/nginx:size=1m,mode=1777\", \"/run/nginx/tmp:size=64m,mode=1777\"]";
        }
      ]
      ++ [
        {
          healthcheck = yaml.map [
            { interval = "5s"; }
            { start_interval = yaml.verbatim "!reset null"; }
          ];
        }
      ]
    );
  };
in
yaml.write (
  yaml.map [
    (yaml.comment (import ./notice.nix))
    (yaml.comment ''
      What Podman has to be told otherwise:
      `podman compose -f compose.yml -f compose.podman.yml up`

      It knows one interval for health checks; its name server has another address in each network,
      its scratch space no owner; and its networks do not know our option.
    '')
    {
      services = yaml.map (
        map service (
          filter (part: kinds.${part.kind} ? health) (topology.parts "containers" ++ containers.operatorParts)
        )
      );
    }
    yaml.line
    {
      networks = yaml.map (
        concatMap (network: [
          { ${network.name} = yaml.map [ { driver_opts = yaml.verbatim "!reset null"; } ]; }
        ]) (filter (network: network ? isWayIn) containers.networks)
      );
    }
  ]
)
