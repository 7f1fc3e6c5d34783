# containers/prometheus.yml: where Prometheus collects metrics.
topology:
with builtins;
let
  job =
    kind:
    let
      inherit (topology.kinds.${kind}) metrics;
      target = part: "${part.name}:${toString (metrics.port or part.port.container)}";
    in
    removeAttrs metrics [ "port" ]
    // {
      static_configs = [ { targets = map target (topology.partsOf kind "containers"); } ];
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
    scrape_configs = map job (
      filter (kind: topology.kinds.${kind} ? metrics) (attrNames topology.kinds)
    );
  }
