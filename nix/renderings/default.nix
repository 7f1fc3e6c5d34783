# The committed files that are rendered from the topology: path -> content.
let
  topology = import ../topology.nix;
  files = {
    "compose.original.yml" = import ./compose-original.nix topology;
    "compose.podman.yml" = import ./compose-podman.nix topology;
    "compose.yml" = import ./compose.nix topology;
    "containers/addresses" = import ./addresses.nix topology;
    "containers/prometheus.yml" = import ./prometheus.nix topology;
    "containers/rabbitmq/cluster.conf" = import ./rabbitmq-cluster.nix topology;
    "containers/rabbitmq/rabbitmq.conf" = import ./rabbitmq.nix topology;
    "nginx/container.conf" = import ./nginx.nix topology;
    "process-compose.yaml" = import ./process-compose.nix topology;
    "scripts/companies" = import ./companies.nix topology;
    "scripts/ports" = import ./ports.nix topology;
    "stack.yml" = import ./stack.nix topology files;
  }
  // import ./ours.nix;
in
files
