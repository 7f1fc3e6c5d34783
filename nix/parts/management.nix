# For the operator: the door to the broker's management page, on 127.0.0.1 only.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  nginx = topology.kinds.nginx.service { };
in
{
  parts = onlyIn "containers" [
    {
      name = "management";
      description = "the door to the broker's management page";
      needs.rabbitmq = "ready";
    }
  ];

  service =
    _:
    hardened
    // {
      profiles = [ "management" ];
      inherit (nginx)
        image
        user
        tmpfs
        ;
      entrypoint = "nginx -e stderr -p /run/nginx -c /stockmarket/containers/management/nginx.conf";
      ports = [ "127.0.0.1:\${RABBITMQ_MANAGEMENT_PORT:-15672}:15672" ];
      networks = [
        "managing"
        "desk"
      ];
      configs = [
        (file "management" "containers/management/nginx.conf")
      ]
      ++ filter (config: config.source == "nginx-health") nginx.configs;
      healthcheck = check [
        "bash"
        "/stockmarket/containers/health/nginx"
        "15672"
        "/"
      ];
      mem_limit = "64m";
      cpus = "0.5";
      pids_limit = 20;
      stop_grace_period = "5s";
    };
}
