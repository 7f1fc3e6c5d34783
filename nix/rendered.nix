# The committed files that the topology generates: path -> content.
let
  topology = import ./topology.nix;
  files = {
    "compose.original.yml" = import ./compose-original.nix topology;
    "compose.podman.yml" = import ./compose-podman.nix topology;
    "compose.yml" = import ./compose.nix topology;
    "containers/addresses" = (import ./containers.nix topology).addressesFile;
    "containers/prometheus.yml" = import ./prometheus.nix topology;
    "containers/rabbitmq/cluster.conf" = import ./cluster.nix topology;
    "nginx/container.conf" = import ./nginx.nix topology;
    "process-compose.yaml" = import ./process-compose.nix topology;
    "scripts/ports" = import ./ports.nix topology;
    "stack.yml" = import ./stack.nix topology files;
  };
in
files
