# nginx/container.conf: the load balancer in a container, in front of the topology's live views.
topology:
let
  port = kind: toString (builtins.head (topology.partsOf kind "containers")).port.container;
  # One name for all live views, however many there are.
  server = "server liveview:${port "liveview"} resolve";

  upstream =
    name: backups:
    builtins.concatStringsSep "\n    " (
      [
        "upstream ${name} {"
        "    zone ${name} 256k;"
        "    least_conn;"
        "    ${server} max_fails=1 fail_timeout=3s;"
      ]
      ++ backups
      ++ [
        "    keepalive 32;"
        "    keepalive_timeout 60s;"
        "}"
      ]
    );
  backups = [
    "    # Each once more as a backup that never counts as failed: when all have failed lately, they are"
    "    # asked nevertheless, for by now one of them may be back."
    "    ${server} max_fails=0 backup;"
  ];
in
''
  # ${import ./notice.nix}
  # The load balancer in a container: `start-container THIS-FILE ${port "nginx"}`. Beside this file are core.conf and site.conf.
  # The prefix /run/nginx with its folder tmp must be writable by the container's user: start-container writes the files
  # there that are included here.
  daemon off;
  pid nginx.pid;
  worker_processes 2;
  worker_rlimit_nofile 65536;
  worker_shutdown_timeout 2s;
  error_log stderr warn;
  events {
      worker_connections 16384;
  }
  http {
      geo $is_limited {
          default 1;
          127.0.0.0/8 0;
          ::1 0;
      }
      include /run/nginx/proxies.conf;
      include core.conf;
      access_log /dev/stdout json if=$is_loggable;
      # The container engine's; a live view that comes back under another address is found again within 2 s.
      resolver 127.0.0.11 valid=2s ipv6=off;
      ${upstream "liveview" backups}
      ${upstream "liveview_queries" backups}
      ${upstream "liveview_assets" [ ]}
      server {
          listen ${port "nginx"} backlog=4096;
          include /run/nginx/listen.conf;
          include site.conf;
      }
  }
''
