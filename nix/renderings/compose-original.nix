# compose.original.yml: the original publisher and live views in place of ours.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  port = kind: (head (topology.partsOf kind "containers")).port.container;

  # As /proc/net/tcp shows an established connection to the broker's port, 5672.
  established = ":1628 01 ";

  reset.raw = "!reset null";

  liveview = {
    image = images.original "stock-liveview";
    pull_policy = "never";
    environment.NODE_OPTIONS = "--require /stockmarket/containers/original-url.cjs";
    volumes = [ "files:/stockmarket:ro" ];
    healthcheck.test = [
      "CMD"
      "/bin/node"
      "-e"
      "fetch('http://127.0.0.1:${toString (port "liveview")}/').then(({ ok }) => process.exit(ok ? 0 : 1))"
    ];
  };
in
assert port "rabbitmq" == 5672;
import ./yaml.nix
  ''
    ${import ./notice.nix}
    The original publisher and live views in place of ours:
    `docker compose -f compose.yml -f compose.original.yml up`

    They read addresses and passwords from environment variables only, which the container engine
    shows to everybody who may use it. So these variables are set inside the container, at the start.''
  {
    services = {
      secrets.configs = [
        {
          source = "original-url";
          target = "/clone/containers/original-url.cjs";
        }
      ];

      # Its queues are not durable: a broker that has ours would refuse them.
      rabbitmq.volumes = [ "rabbitmq-original:/var/lib/rabbitmq" ];

      publisher-files = hardened // {
        "#" = ''
          The original's image holds only the program, no shell that could read a file. So another
          container runs it, from a volume that Docker fills with the image's /bin. This container
          itself runs a program of the engine that ends at once.'';
        image = images.original "stock-publisher";
        pull_policy = "never";
        user = "10001:10001";
        restart = "no";
        init = true;
        entrypoint = "/sbin/docker-init --version";
        network_mode = "none";
        volumes = [ "original-publisher:/bin" ];
        mem_limit = "16m";
        cpus = "0.5";
        pids_limit = 5;
      };

      publisher = {
        image = images.mongo;
        pull_policy = "missing";
        build = reset;
        entrypoint = [
          "bash"
          "-c"
          "RABBITMQ_URL=$$(< $$RABBITMQ_URL_FILE) exec /original/stock-publisher"
        ];
        depends_on.publisher-files.condition = "service_completed_successfully";
        healthcheck.test = [
          "CMD"
          "grep"
          "-q"
          established
          "/proc/net/tcp"
        ];
        volumes = [ "original-publisher:/original:ro" ];
        tmpfs = [
          "/data/db:size=1m"
          "/data/configdb:size=1m"
        ];
      };
    }
    // each (map (part: part.name) (topology.partsOf "liveview" "containers")) liveview;

    volumes = {
      rabbitmq-original = { };
      original-publisher = { };
    };
    configs.original-url.file = "containers/original-url.cjs";
  }
