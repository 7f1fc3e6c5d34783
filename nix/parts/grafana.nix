# For the operator: shows the metrics, on 127.0.0.1 only.
_:
with import ../lib.nix;
with import ../containers;
{
  parts = onlyIn "containers" [
    {
      name = "grafana";
      description = "shows the metrics";
    }
  ];

  service =
    part:
    hardened
    // {
      profiles = [ "monitoring" ];
      image = images.grafana;
      user = "472:0";
      environment = {
        GF_SECURITY_ADMIN_PASSWORD__FILE = "/run/secrets/grafana-admin.password";
        # Everybody on this machine may look. Changes need a login.
        GF_AUTH_ANONYMOUS_ENABLED = "true";
        GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH = "/stockmarket/containers/grafana/stockmarket.json";
        GF_PATHS_PROVISIONING = "/stockmarket/containers/grafana";
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
      volumes = [ "${part.name}:/var/lib/grafana" ];
      configs = [
        (file "grafana-datasources" "containers/grafana/datasources/prometheus.yml")
        (file "grafana-dashboards" "containers/grafana/dashboards/folder.yml")
        (file "grafana-dashboard" "containers/grafana/stockmarket.json")
      ];
      tmpfs = [ "/tmp:size=64m,mode=1777" ];
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

  secrets = {
    uid = 472;
    files = [ "grafana-admin.password" ];
  };
}
