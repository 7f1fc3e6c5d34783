# For the operator: the replica set's metrics, for Prometheus.
_:
with import ../lib.nix;
with import ../containers;
{
  parts = onlyIn "containers" [
    {
      name = "mongo-metrics";
      description = "the replica set's metrics, for Prometheus";
      needs.mongo-init = "done";
      environment.MONGODB_URL_FILE = secret "mongodb-monitoring.url";
    }
  ];

  service =
    _:
    hardened
    // ours "stock-liveview"
    // {
      profiles = [ "monitoring" ];
      user = nobody;
      entrypoint = "/bin/node /stockmarket/scripts/mongo-metrics.mjs";
      environment.LIVEVIEW = "/app";
      networks = [
        "reading"
        "monitoring"
      ];
      configs = [ (file "mongo-metrics" "scripts/mongo-metrics.mjs") ];
      healthcheck = check [
        "/bin/node"
        "/stockmarket/scripts/mongo-metrics.mjs"
        "healthcheck"
      ];
      mem_limit = "256m";
      cpus = "0.5";
      pids_limit = 50;
      stop_grace_period = "5s";
    };

  secrets = {
    uid = 10001;
    files = [ "mongodb-monitoring.url" ];
  };

  metrics = {
    job_name = "mongodb";
    port = 9216;
  };
}
