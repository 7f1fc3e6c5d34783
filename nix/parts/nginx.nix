# The load balancer.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  loadBalancer = {
    name = "nginx";
    description = "the load balancer, the only part that others reach";
    port = {
      variable = "NGINX_PORT";
      local = 3000;
      container = 3000;
    };
    needs = each (map (part: part.name) (topology.partsOf "liveview" "local")) "started";
  };
  inherit (loadBalancer) port;
in
{
  parts = _: [ loadBalancer ];

  process = part: {
    command = "exec scripts/run/nginx";
    environment.LIVEVIEWS = concatStringsSep " " (
      map (part: "127.0.0.1:\${${part.port.variable}}") (topology.partsOf "liveview" "local")
    );
    readiness_probe = answers "/nginx-health" part;
  };

  service =
    _:
    hardened
    // {
      image = images.nginx;
      user = "101:101";
      entrypoint = "bash /stockmarket/nginx/start-container /stockmarket/nginx/container.conf ${toString port.container}";
      environment.NGINX_TRUSTED_PROXIES = "\${NGINX_TRUSTED_PROXIES:-}";
      ports = [ "\${NGINX_PORT:-${toString port.local}}:${toString port.container}" ];
      networks = [
        "edge"
        "web"
      ];
      configs = [
        (file "nginx" "nginx/container.conf")
        (file "nginx-core" "nginx/core.conf")
        (file "nginx-site" "nginx/site.conf")
        (file "nginx-start" "nginx/start-container")
        (file "nginx-proxies" "nginx/proxies.sh")
        (file "nginx-health" "containers/health/nginx")
      ];
      tmpfs = [
        # Owned by its user: at a restart some engines forget the mode.
        "/run/nginx:size=1m,mode=0755,uid=101,gid=101"
        "/run/nginx/tmp:size=64m,mode=0755,uid=101,gid=101"
      ];
      healthcheck = check [
        "bash"
        "/stockmarket/containers/health/nginx"
        (toString port.container)
        "/"
      ];
      mem_limit = "256m";
      cpus = "1";
      pids_limit = 100;
      stop_grace_period = "5s";
    };

  # One on each machine, so that it sees the clients' addresses.
  swarm = [
    {
      part = loadBalancer;
      ports = [
        {
          target = port.container;
          published = "\${NGINX_PORT:-${toString port.local}}";
          mode = "host";
        }
      ];
      test = [
        "CMD"
        "bash"
        "/stockmarket/containers/health/nginx"
        (toString port.container)
        "/nginx-health"
      ];
      deploy.mode = "global";
    }
  ];
}
