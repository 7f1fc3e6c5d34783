# The images of all containers. Ours come from the namespace that NAMESPACE names.
{
  ours = name: "\${NAMESPACE:-stockmarket}/${name}:\${TAG:-latest}";

  rabbitmq = "rabbitmq:4.3-management";
  mongo = "mongo:8.0";
  nginx = "nginx:1.30";
  prometheus = "prom/prometheus:v3.13.2";
  grafana = "grafana/grafana:13.1.2";
}
