# The committed files that the topology generates: path -> content.
let
  topology = import ./topology.nix;
in
{
  "compose.yml" = import ./compose.nix topology;
  "compose.original.yml" = import ./compose-original.nix topology;
  "containers/prometheus.yml" = import ./prometheus.nix topology;
  "nginx/container.conf" = import ./nginx.nix topology;
  "process-compose.yaml" = import ./process-compose.nix topology;
  "scripts/ports" = import ./ports.nix topology;
}
