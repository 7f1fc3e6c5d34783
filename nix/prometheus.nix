# containers/prometheus.yml: whom Prometheus asks.
topology:
let
  yaml = import ./yaml.nix;
  inherit (builtins) filter toString;

  addresses =
    kind:
    map (part: "${part.name}:${toString part.port.container}") (
      filter (part: part.kind == kind) (topology.parts "containers")
    );

  job =
    name: targets: options:
    yaml.map (
      [ { job_name = name; } ]
      ++ options
      ++ [ { static_configs = [ (yaml.map [ { inherit targets; } ]) ]; } ]
    );
in
yaml.write (
  yaml.map [
    (yaml.comment (import ./notice.nix))
    (yaml.comment "Whom Prometheus asks, in containers.")
    {
      global = yaml.map [
        { scrape_interval = "5s"; }
        { scrape_timeout = "4s"; }
      ];
    }
    yaml.line
    {
      scrape_configs = [
        (job "publisher" (addresses "publisher") [ ])
        (job "consumer" (addresses "consumer") [ ])
        (job "liveview" (addresses "liveview") [ ])
        (job "mongodb" [ "mongo-metrics:9216" ] [ ])
        # Of each queue: how many trades are in it, and for how many consumers.
        (job "rabbitmq"
          [ "rabbitmq:15692" ]
          [
            { metrics_path = "/metrics/detailed"; }
            {
              params = yaml.map [
                {
                  family = yaml.flow [
                    "queue_coarse_metrics"
                    "queue_consumer_count"
                  ];
                }
              ];
            }
            {
              basic_auth = yaml.map [
                { username = "monitoring"; }
                { password_file = "/run/secrets/rabbitmq-monitoring.password"; }
              ];
            }
          ]
        )
      ];
    }
  ]
)
