# Files of this repository that containers mount: name -> path here, path there.
let
  at = file: target: { inherit file target; };
in
{
  secrets = at "containers/secrets" "/stockmarket/secrets";
  make-secrets = at "scripts/make-secrets.sh" "/stockmarket/make-secrets.sh";
  addresses = at "containers/addresses" "/stockmarket/addresses";

  rabbitmq = at "containers/rabbitmq/rabbitmq.conf" "/etc/rabbitmq/rabbitmq.conf";
  rabbitmq-cluster = at "containers/rabbitmq/cluster.conf" "/etc/rabbitmq/conf.d/90-cluster.conf";
  rabbitmq-plugins = at "containers/rabbitmq/enabled_plugins" "/etc/rabbitmq/enabled_plugins";
  rabbitmq-health = at "containers/health/rabbitmq" "/health/rabbitmq";

  mongo-health = at "containers/health/mongo" "/health/mongo";
  mongo-init = at "scripts/mongo-init.mjs" "/stockmarket/mongo-init.mjs";
  mongo-metrics = at "scripts/mongo-metrics.mjs" "/stockmarket/mongo-metrics.mjs";

  nginx = at "nginx/container.conf" "/etc/nginx/nginx.conf";
  nginx-core = at "nginx/core.conf" "/etc/nginx/core.conf";
  nginx-site = at "nginx/site.conf" "/etc/nginx/site.conf";
  nginx-health = at "containers/health/nginx" "/health/nginx";
  management = at "containers/management/nginx.conf" "/etc/nginx/nginx.conf";

  prometheus = at "containers/prometheus.yml" "/etc/prometheus/prometheus.yml";
  grafana-sources = at "containers/grafana/sources.yml" "/etc/grafana/provisioning/datasources/sources.yml";
  grafana-dashboards = at "containers/grafana/dashboards.yml" "/etc/grafana/provisioning/dashboards/dashboards.yml";
  grafana-dashboard = at "containers/grafana/stockmarket.json" "/dashboards/stockmarket.json";
}
