# The operator's services, of the profiles `management` and `monitoring`, for one machine. Their pages
# are published on 127.0.0.1 only.
topology:
let
  images = import ./images.nix;
  inherit (import ./services.nix topology) hardened mount kinds;
  check = test: (kinds.publisher { }).healthcheck // { test = [ "CMD" ] ++ test; };
  nginx = kinds.nginx { port = topology.ports.nginx; };
in
{
  management = hardened // {
    "#" = "the door to the broker's management page";
    profiles = [ "management" ];
    inherit (nginx)
      image
      user
      entrypoint
      tmpfs
      ;
    ports = [ "127.0.0.1:\${RABBITMQ_MANAGEMENT_PORT:-15672}:15672" ];
    networks = [
      "managing"
      "desk"
    ];
    configs = mount [
      "management"
      "nginx-health"
    ];
    depends_on.rabbitmq.condition = "service_started";
    healthcheck = check [
      "bash"
      "/health/nginx"
      "15672"
      "/"
    ];
    mem_limit = "64m";
    cpus = "0.5";
    pids_limit = 20;
    stop_grace_period = "5s";
  };

  mongo-metrics = hardened // {
    "#" = "the replica set's metrics, for Prometheus";
    profiles = [ "monitoring" ];
    image = images.ours "stock-liveview";
    user = "10001:10001";
    entrypoint = "/bin/node /stockmarket/mongo-metrics.mjs";
    environment = {
      MONGODB_URL_FILE = "/run/secrets/mongodb-monitoring.url";
      LIVEVIEW = "/app";
    };
    networks = [
      "reading"
      "monitoring"
    ];
    volumes = [ "secrets-mongo-metrics:/run/secrets:ro" ];
    configs = mount [ "mongo-metrics" ];
    depends_on.mongo-init.condition = "service_completed_successfully";
    depends_on.secrets.condition = "service_completed_successfully";
    healthcheck = check [
      "/bin/node"
      "/stockmarket/mongo-metrics.mjs"
      "healthcheck"
    ];
    mem_limit = "256m";
    cpus = "0.5";
    pids_limit = 50;
    stop_grace_period = "5s";
  };

  prometheus = hardened // {
    "#" = "collects the metrics of all parts";
    profiles = [ "monitoring" ];
    image = images.prometheus;
    user = "65534:65534";
    entrypoint = [
      "/bin/prometheus"
      "--config.file=/etc/prometheus/prometheus.yml"
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
    volumes = [
      "prometheus:/prometheus"
      "secrets-prometheus:/run/secrets:ro"
    ];
    configs = mount [ "prometheus" ];
    depends_on.secrets.condition = "service_completed_successfully";
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

  grafana = hardened // {
    "#" = "shows the metrics";
    profiles = [ "monitoring" ];
    image = images.grafana;
    user = "472:0";
    environment = {
      GF_SECURITY_ADMIN_PASSWORD__FILE = "/run/secrets/grafana-admin.password";
      # Everybody on this machine may look. Changes need a login.
      GF_AUTH_ANONYMOUS_ENABLED = "true";
      GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH = "/dashboards/stockmarket.json";
      GF_LOG_MODE = "console";
      # It has no route to the outside.
      GF_ANALYTICS_REPORTING_ENABLED = "false";
      GF_ANALYTICS_CHECK_FOR_UPDATES = "false";
      GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES = "false";
      GF_NEWS_NEWS_FEED_ENABLED = "false";
      GF_PLUGINS_PREINSTALL_DISABLED = "true";
    };
    ports = [ "127.0.0.1:\${GRAFANA_PORT:-3030}:3000" ];
    networks = [
      "monitoring"
      "desk"
    ];
    volumes = [
      "grafana:/var/lib/grafana"
      "secrets-grafana:/run/secrets:ro"
    ];
    configs = mount [
      "grafana-sources"
      "grafana-dashboards"
      "grafana-dashboard"
    ];
    tmpfs = [ "/tmp:size=64m,mode=1777" ];
    depends_on.secrets.condition = "service_completed_successfully";
    healthcheck = check [
      "wget"
      "-q"
      "-O"
      "/dev/null"
      "http://127.0.0.1:3000/api/health"
    ];
    mem_limit = "512m";
    cpus = "1";
    pids_limit = 200;
    stop_grace_period = "10s";
  };
}
