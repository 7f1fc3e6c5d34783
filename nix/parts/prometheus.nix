# For the operator: collects the metrics of all parts. Its page is on 127.0.0.1 only.
_:
with import ../lib.nix;
with import ../containers;
{
  parts = onlyIn "containers" [
    {
      name = "prometheus";
      description = "collects the metrics of all parts";
    }
  ];

  service =
    part:
    hardened
    // {
      profiles = [ "monitoring" ];
      image = images.prometheus;
      user = "65534:65534";
      entrypoint = [
        "/bin/prometheus"
        "--config.file=/stockmarket/containers/prometheus.yml"
        "--storage.tsdb.path=/prometheus"
        "--storage.tsdb.retention.time=15d"
        "--storage.tsdb.retention.size=1GB"
      ];
      ports = [ "127.0.0.1:\${PROMETHEUS_PORT:-9090}:9090" ];
      # All parts whose metrics it collects.
      networks = [
        "publishing"
        "consuming"
        "web"
        "monitoring"
        "desk"
      ];
      volumes = [ "${part.name}:/prometheus" ];
      configs = [ (file "prometheus" "containers/prometheus.yml") ];
      healthcheck = check [
        "/bin/promtool"
        "check"
        "ready"
      ];
      mem_limit = "512m";
      cpus = "1";
      pids_limit = 200;
      stop_grace_period = "20s";
    };

  secrets = {
    uid = 65534;
    files = [ "rabbitmq-monitoring.password" ];
  };
}
