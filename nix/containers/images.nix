# The images of all containers.
{
  # One of our programs: an image of the namespace that NAMESPACE names, else one that this machine has
  # built.
  ours = program: "\${NAMESPACE:-stockmarket}/${program}:\${TAG:-latest}";

  # One of the originals, which only `nix run .#load` builds.
  original = program: "stockmarket/${program}-original:latest";

  rabbitmq = "rabbitmq:4.3-management";
  mongo = "mongo:8.0";
  nginx = "nginx:1.30";
  prometheus = "prom/prometheus:v3.13.2";
  grafana = "grafana/grafana:13.1.2";
}
