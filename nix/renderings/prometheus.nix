# containers/prometheus.yml: where Prometheus collects metrics.
topology:
let
  addresses =
    kind:
    map (part: "${part.name}:${toString part.port.container}") (
      builtins.filter (part: part.kind == kind) (topology.parts "containers")
    );
  job = job_name: targets: {
    inherit job_name;
    static_configs = [ { inherit targets; } ];
  };
in
import ./yaml.nix
  ''
    ${import ./notice.nix}
    Where Prometheus collects metrics, in containers.''
  {
    global = {
      scrape_interval = "5s";
      scrape_timeout = "4s";
    };
    scrape_configs = [
      (job "publisher" (addresses "publisher"))
      (job "consumer" (addresses "consumer"))
      (job "liveview" (addresses "liveview"))
      (job "mongodb" [ "mongo-metrics:9216" ])
      (
        job "rabbitmq" [ "rabbitmq:15692" ]
        // {
          # Trades and consumers of each queue.
          metrics_path = "/metrics/detailed";
          params.family = [
            "queue_coarse_metrics"
            "queue_consumer_count"
          ];
          basic_auth = {
            username = "monitoring";
            password_file = "/run/secrets/rabbitmq-monitoring.password";
          };
        }
      )
    ];
  }
