# The live views, behind the load balancer.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  liveviews = numbered topology.liveviews (n: {
    name = "liveview${toString n}";
    description = "shows the newest averages, live";
    port = {
      variable = "LIVEVIEW${toString n}_PORT";
      local = 3001 + n - 1;
      container = 3000;
    };
    needs = each (map (part: part.name) (topology.partsOf "mongo" "local")) "ready" // {
      mongo-init = "done";
    };
    environment = {
      MONGODB_URL_FILE = secret "mongodb-liveview.url";
      LIVEVIEW_NAME = "liveview-${toString n}";
    };
  });
in
rec {
  parts = _: liveviews;

  process = part: {
    command = "exec node vendor-apps/stock-liveview/app.js";
    environment = {
      NODE_ENV = "production";
      HOST = "127.0.0.1";
      PORT = "\${${part.port.variable}}";
    };
    readiness_probe = answers "/readyz" part;
  };

  service =
    _:
    hardened
    // ours "stock-liveview"
    // {
      user = nobody;
      # The load balancer knows all live views by one name.
      networks = {
        reading.aliases = [ "liveview" ];
        web.aliases = [ "liveview" ];
      };
      healthcheck = check [
        "/bin/node"
        "/app/app.js"
        "healthcheck"
      ];
      mem_limit = "512m";
      cpus = "1";
      pids_limit = 100;
      stop_grace_period = "10s";
    };

  swarm = [
    (
      {
        part = head liveviews // {
          name = "liveview";
        };
        "#" = "show the newest averages, live";
        test = (service { }).healthcheck.test ++ [ "started" ];
        environment.LIVEVIEW_NAME = "liveview-{{.Task.Slot}}";
        deploy = rolling topology.liveviews // {
          endpoint_mode = "dnsrr";
        };
      }
      // images.oursNamed "stock-liveview"
    )
  ];

  secrets = {
    uid = 10001;
    files = [ "mongodb-liveview.url" ];
  };

  metrics.job_name = "liveview";
}
