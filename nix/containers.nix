# How a part of each kind runs in a container, wherever that is: what compose.yml and stack.yml share.
topology:
let
  yaml = import ./yaml.nix;
  inherit (builtins)
    concatStringsSep
    filter
    toString
    ;

  ours = name: "\${NAMESPACE:-stockmarket}/${name}:\${TAG:-latest}";
  nobody = "10001:10001";
  address = part: "${part.name}:${toString part.port.container}";
  partsOf = kind: filter (part: part.kind == kind) (topology.parts "containers");
  addresses = kind: concatStringsSep "," (map address (partsOf kind));

  health = name: "/health/${name}";
in
rec {
  inherit ours nobody;
  # For scripts: containers/addresses.
  addressesFile = ''
    # ${import ./notice.nix}
    # shellcheck shell=bash disable=SC2034
    # Where the servers are, in containers.
    rabbitmq_address=${addresses "rabbitmq"}
    mongodb_members=${addresses "mongo"}
  '';

  # What every part is held to. Its files are its image's and cannot be changed; where it has to write,
  # it says so.
  hardening = [
    { restart = "unless-stopped"; }
    { read_only = true; }
    { cap_drop = yaml.flow [ "ALL" ]; }
    { security_opt = yaml.flow [ "no-new-privileges:true" ]; }
    {
      logging = yaml.map [
        { driver = "json-file"; }
        {
          options = yaml.map [
            { max-size = "10m"; }
            { max-file = "3"; }
          ];
        }
      ];
    }
  ];

  # Who may talk to whom: parts that share none of these cannot reach each other.
  networks = [
    {
      name = "publishing";
      description = "publisher, broker";
    }
    {
      name = "consuming";
      description = "broker, consumers";
    }
    {
      name = "storing";
      description = "consumers, database, and the database's members among themselves";
    }
    {
      name = "reading";
      description = "database, live views";
    }
    {
      name = "web";
      description = "live views, load balancer";
    }
    {
      name = "edge";
      description = "load balancer; the way in, but not out";
      isWayIn = true;
    }
    {
      name = "monitoring";
      description = "what watches, among itself";
    }
    {
      name = "managing";
      description = "broker, and the door to its management page";
    }
    {
      name = "desk";
      description = "the operator's doors, from this machine alone; the way in, but not out";
      isWayIn = true;
    }
  ];

  images = {
    rabbitmq = "rabbitmq:4.3-management";
    mongo = "mongo:8.0";
    nginx = "nginx:1.30";
    prometheus = "prom/prometheus:v3.13.2";
    grafana = "grafana/grafana:13.1.2";
  };

  # Files of this repository that are mounted: name -> path, and where.
  files = {
    secrets = {
      path = "containers/secrets";
      target = "/stockmarket/secrets";
    };
    make-secrets = {
      path = "scripts/make-secrets.sh";
      target = "/stockmarket/make-secrets.sh";
    };
    addresses = {
      path = "containers/addresses";
      target = "/stockmarket/addresses";
    };
    rabbitmq = {
      path = "containers/rabbitmq/rabbitmq.conf";
      target = "/etc/rabbitmq/rabbitmq.conf";
    };
    rabbitmq-cluster = {
      path = "containers/rabbitmq/cluster.conf";
      target = "/etc/rabbitmq/conf.d/90-cluster.conf";
    };
    rabbitmq-plugins = {
      path = "containers/rabbitmq/enabled_plugins";
      target = "/etc/rabbitmq/enabled_plugins";
    };
    rabbitmq-health = {
      path = "containers/health/rabbitmq";
      target = health "rabbitmq";
    };
    mongo-health = {
      path = "containers/health/mongo";
      target = health "mongo";
    };
    mongo-init = {
      path = "scripts/mongo-init.mjs";
      target = "/stockmarket/mongo-init.mjs";
    };
    nginx = {
      path = "nginx/container.conf";
      target = "/etc/nginx/nginx.conf";
    };
    nginx-core = {
      path = "nginx/core.conf";
      target = "/etc/nginx/core.conf";
    };
    nginx-site = {
      path = "nginx/site.conf";
      target = "/etc/nginx/site.conf";
    };
    nginx-health = {
      path = "containers/health/nginx";
      target = health "nginx";
    };
    management = {
      path = "containers/management/nginx.conf";
      target = "/etc/nginx/nginx.conf";
    };
    mongo-metrics = {
      path = "scripts/mongo-metrics.mjs";
      target = "/stockmarket/mongo-metrics.mjs";
    };
    prometheus = {
      path = "containers/prometheus.yml";
      target = "/etc/prometheus/prometheus.yml";
    };
    grafana-sources = {
      path = "containers/grafana/sources.yml";
      target = "/etc/grafana/provisioning/datasources/sources.yml";
    };
    grafana-dashboards = {
      path = "containers/grafana/dashboards.yml";
      target = "/etc/grafana/provisioning/dashboards/dashboards.yml";
    };
    grafana-dashboard = {
      path = "containers/grafana/stockmarket.json";
      target = "/dashboards/stockmarket.json";
    };
  };

  # Who reads which secrets: a reader is one kind of part, or several with the same rights.
  readers = [
    {
      name = "rabbitmq";
      uid = 999;
      files = [
        "rabbitmq-definitions.json"
        "erlang.cookie:.erlang.cookie"
      ];
    }
    {
      name = "mongo";
      uid = 999;
      files = [ "mongodb.key" ];
    }
    {
      name = "mongo-init";
      uid = 10001;
      files = [
        "mongodb.key"
        "mongodb-consumer.password"
        "mongodb-liveview.password"
        "mongodb-monitoring.password"
      ];
    }
    {
      name = "publisher";
      uid = 10001;
      files = [ "rabbitmq-publisher.url" ];
    }
    {
      name = "consumer";
      uid = 10001;
      files = [
        "rabbitmq-consumer.url"
        "mongodb-consumer.url"
      ];
    }
    {
      name = "liveview";
      uid = 10001;
      files = [ "mongodb-liveview.url" ];
    }
    {
      name = "mongo-metrics";
      uid = 10001;
      files = [ "mongodb-monitoring.url" ];
    }
    {
      name = "prometheus";
      uid = 65534;
      files = [ "rabbitmq-monitoring.password" ];
    }
    {
      name = "grafana";
      uid = 472;
      files = [ "grafana-admin.password" ];
    }
  ];

  # A part of each kind: image, numeric user, what it runs (where the image does not say), what it is
  # told beyond the topology, where it may write, whom it can reach, how much it may take, how long it
  # may need to end. `health` is what whoever waits
  # for the part looks at.
  kinds = {
    rabbitmq = {
      image = images.rabbitmq;
      user = "999:999";
      entrypoint = [ "rabbitmq-server" ];
      environment = [
        # Its data bears its name, which must not change with the container's. Other nodes are not let in.
        { RABBITMQ_NODENAME = "rabbit@localhost"; }
        { RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS = "-kernel inet_dist_use_interface {127,0,0,1}"; }
        { ERL_EPMD_ADDRESS = "127.0.0.1"; }
        # Where Erlang looks for its cookie.
        { HOME = "/run/secrets"; }
        { RABBITMQ_CONFIG_FILE = "/etc/rabbitmq/rabbitmq.conf"; }
        { RABBITMQ_ENABLED_PLUGINS_FILE = "/etc/rabbitmq/enabled_plugins"; }
        { RABBITMQ_MNESIA_BASE = "/var/lib/rabbitmq/mnesia"; }
        { RABBITMQ_GENERATED_CONFIG_DIR = "/tmp/rabbitmq"; }
        { RABBITMQ_PID_FILE = "/tmp/rabbitmq.pid"; }
        # The start script becomes the server, so that signals reach it.
        { RUNNING_UNDER_SYSTEMD = "true"; }
      ];
      configs = [
        "rabbitmq"
        "rabbitmq-plugins"
        "rabbitmq-health"
      ];
      data = "/var/lib/rabbitmq";
      tmpfs = [ "/tmp:size=16m,mode=1777" ];
      networks = [
        "publishing"
        "consuming"
        "managing"
      ];
      health = [
        "bash"
        (health "rabbitmq")
      ];
      memory = "1g";
      cpus = "1";
      pids = 500;
      grace = "30s";
    };

    mongo = {
      image = images.mongo;
      user = "999:999";
      entrypoint = [
        "mongod"
        "--replSet=rs0"
        "--bind_ip_all"
        "--nounixsocket"
        "--dbpath=/data/db"
        "--auth"
        "--keyFile=/run/secrets/mongodb.key"
        # Small caches: the members share a machine with everything else.
        "--wiredTigerCacheSizeGB=0.25"
        "--oplogSize=256"
        "--quiet"
        "--setParameter=diagnosticDataCollectionEnabled=false"
        "--setParameter=shutdownTimeoutMillisForSignaledShutdown=1000"
      ];
      configs = [ "mongo-health" ];
      data = "/data/db";
      tmpfs = [
        "/tmp:size=16m,mode=1777"
        # The image would have a volume made for it.
        "/data/configdb:size=1m,mode=1777"
      ];
      networks = [
        "storing"
        "reading"
      ];
      health = [
        "bash"
        (health "mongo")
      ];
      memory = "1g";
      cpus = "1";
      pids = 1000;
      grace = "20s";
    };

    mongo-init = {
      image = ours "stock-liveview";
      user = nobody;
      entrypoint = [
        "/bin/node"
        "/stockmarket/mongo-init.mjs"
      ];
      environment = [
        { MONGODB_MEMBERS = addresses "mongo"; }
        { SECRETS = "/run/secrets"; }
        { LIVEVIEW = "/app"; }
      ];
      configs = [ "mongo-init" ];
      networks = [ "storing" ];
      memory = "256m";
      cpus = "1";
      pids = 50;
      grace = "2s";
    };

    publisher = {
      image = ours "stock-publisher";
      user = nobody;
      networks = [ "publishing" ];
      health = [
        "/bin/stock-publisher"
        "healthcheck"
      ];
      memory = "256m";
      cpus = "1";
      pids = 200;
      grace = "10s";
    };

    consumer = {
      image = ours "stock-consumer";
      user = nobody;
      networks = [
        "consuming"
        "storing"
      ];
      health = [
        "/bin/stock-consumer"
        "healthcheck"
      ];
      memory = "256m";
      cpus = "1";
      pids = 200;
      grace = "10s";
    };

    liveview = {
      image = ours "stock-liveview";
      user = nobody;
      # What the load balancer calls each of them.
      aliases = [ "liveview" ];
      networks = [
        "reading"
        "web"
      ];
      health = [
        "/bin/node"
        "/app/app.js"
        "healthcheck"
      ];
      memory = "512m";
      cpus = "1";
      pids = 100;
      grace = "10s";
    };

    nginx = {
      image = images.nginx;
      user = "101:101";
      entrypoint = [
        "nginx"
        "-e"
        "stderr"
        "-p"
        "/run/nginx"
        "-c"
        "/etc/nginx/nginx.conf"
      ];
      configs = [
        "nginx"
        "nginx-core"
        "nginx-site"
        "nginx-health"
      ];
      tmpfs = [
        # Its user's own: at a restart some engines forget the mode.
        "/run/nginx:size=1m,mode=0755,uid=101,gid=101"
        "/run/nginx/tmp:size=64m,mode=0755,uid=101,gid=101"
      ];
      networks = [
        "edge"
        "web"
      ];
      health = [
        "bash"
        (health "nginx")
        (toString topology.ports.nginx.container)
        "/"
      ];
      memory = "256m";
      cpus = "1";
      pids = 100;
      grace = "5s";
    };

    # ---- For the operator ---------------------------------------------------------------------------

    management = {
      image = images.nginx;
      user = "101:101";
      inherit (kinds.nginx) entrypoint tmpfs;
      configs = [
        "management"
        "nginx-health"
      ];
      health = [
        "bash"
        (health "nginx")
        "15672"
        "/"
      ];
      networks = [
        "managing"
        "desk"
      ];
      memory = "64m";
      cpus = "0.5";
      pids = 20;
      grace = "5s";
    };

    mongo-metrics = {
      image = ours "stock-liveview";
      user = nobody;
      entrypoint = [
        "/bin/node"
        "/stockmarket/mongo-metrics.mjs"
      ];
      environment = [
        { MONGODB_URL_FILE = "/run/secrets/mongodb-monitoring.url"; }
        { LIVEVIEW = "/app"; }
      ];
      configs = [ "mongo-metrics" ];
      networks = [
        "reading"
        "monitoring"
      ];
      health = [
        "/bin/node"
        "/stockmarket/mongo-metrics.mjs"
        "healthcheck"
      ];
      memory = "256m";
      cpus = "0.5";
      pids = 50;
      grace = "5s";
    };

    # It reaches all whom it asks, and is reached by Grafana and from this machine alone.
    prometheus = {
      image = images.prometheus;
      user = "65534:65534";
      entrypoint = [
        "/bin/prometheus"
        "--config.file=/etc/prometheus/prometheus.yml"
        "--storage.tsdb.path=/prometheus"
        "--storage.tsdb.retention.time=15d"
        "--storage.tsdb.retention.size=1GB"
      ];
      configs = [ "prometheus" ];
      data = "/prometheus";
      networks = [
        "publishing"
        "consuming"
        "web"
        "monitoring"
        "desk"
      ];
      health = [
        "/bin/promtool"
        "check"
        "ready"
      ];
      memory = "512m";
      cpus = "1";
      pids = 200;
      grace = "20s";
    };

    grafana = {
      image = images.grafana;
      user = "472:0";
      environment = [
        { GF_SECURITY_ADMIN_PASSWORD__FILE = "/run/secrets/grafana-admin.password"; }
        # Whoever is on this machine may look; to change something one has to log in.
        { GF_AUTH_ANONYMOUS_ENABLED = "true"; }
        { GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH = "/dashboards/stockmarket.json"; }
        { GF_LOG_MODE = "console"; }
        # It has no way out, and need not try.
        { GF_ANALYTICS_REPORTING_ENABLED = "false"; }
        { GF_ANALYTICS_CHECK_FOR_UPDATES = "false"; }
        { GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES = "false"; }
        { GF_NEWS_NEWS_FEED_ENABLED = "false"; }
        { GF_PLUGINS_PREINSTALL_DISABLED = "true"; }
      ];
      configs = [
        "grafana-sources"
        "grafana-dashboards"
        "grafana-dashboard"
      ];
      data = "/var/lib/grafana";
      tmpfs = [ "/tmp:size=64m,mode=1777" ];
      networks = [
        "monitoring"
        "desk"
      ];
      health = [
        "wget"
        "-q"
        "-O"
        "/dev/null"
        "http://127.0.0.1:3000/api/health"
      ];
      memory = "512m";
      cpus = "1";
      pids = 200;
      grace = "10s";
    };
  };

  # Only where their profile is asked for, and only for this machine.
  operatorParts = [
    {
      name = "management";
      kind = "management";
      profile = "management";
      description = "the door to the broker's management page";
      port = {
        variable = "RABBITMQ_MANAGEMENT_PORT";
        local = 15672;
        container = 15672;
      };
      needs = [ { rabbitmq = "started"; } ];
    }
    {
      name = "mongo-metrics";
      kind = "mongo-metrics";
      profile = "monitoring";
      description = "tells Prometheus how the replica set is";
      needs = [ { mongo-init = "done"; } ];
    }
    {
      name = "prometheus";
      kind = "prometheus";
      profile = "monitoring";
      description = "collects the metrics of all parts";
      port = {
        variable = "PROMETHEUS_PORT";
        local = 9090;
        container = 9090;
      };
      needs = [ ];
    }
    {
      name = "grafana";
      kind = "grafana";
      profile = "monitoring";
      description = "shows them";
      port = {
        variable = "GRAFANA_PORT";
        local = 3030;
        container = 3000;
      };
      needs = [ ];
    }
  ];
}
