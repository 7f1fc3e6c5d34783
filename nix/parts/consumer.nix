# The consumers: of those of the same companies one is active, the others are hot standbys.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
with import ../companies.nix;
let
  inherit (topology) companies;
  inherit (topology.consumers) most;

  # The companies of each consumer, and its name: a company's that it has to itself, else a number.
  groups =
    if length companies <= most then
      map (company: {
        name = nameOf company;
        companies = [ company ];
      }) companies
    else
      numbered most (number: {
        name = toString number;
        companies = dealt most number companies;
      });

  # A group's first process is named after it; its standbys have a number after the name.
  consumer =
    group: number: index:
    let
      name = group.name + (if number == 1 then "" else "-${toString number}");
      trades =
        if length group.companies == 1 then
          head group.companies
        else
          "${toString (length group.companies)} companies";
    in
    {
      name = "consumer-${name}";
      inherit number trades;
      inherit (group) companies;
      description =
        if number == 1 then
          "averages the trades of ${trades}"
        else
          "hot standby for the trades of ${trades}";
      port = {
        variable = "CONSUMER_${variableOf name}_HTTP_PORT";
        local = 9101 + index - 1;
        container = 9101;
      };
      needs = each (map (part: part.name) (topology.partsOf "mongo" "local")) "ready" // {
        mongo-init = "done";
        rabbitmq = "ready";
      };
      environment = {
        RABBITMQ_URL_FILE = secret "rabbitmq-consumer.url";
        RABBITMQ_QUEUE = concatStringsSep "," group.companies;
        MONGODB_URL_FILE = secret "mongodb-consumer.url";
      };
    };
in
rec {
  parts =
    place:
    let
      copies = concatMap (group: numbered topology.consumers.${place} (consumer group)) groups;
    in
    numbered (length copies) (index: elemAt copies (index - 1) index);

  process = part: {
    command = "exec target/debug/stock-consumer";
    environment.HTTP_ADDRESS = "127.0.0.1:\${${part.port.variable}}";
    readiness_probe = answers "/readyz" part;
  };

  service =
    part:
    hardened
    // (if part.name == (head (parts "containers")).name then built else ours) "stock-consumer"
    // {
      user = nobody;
      networks = [
        "consuming"
        "storing"
      ];
      healthcheck = check [
        "/bin/stock-consumer"
        "healthcheck"
      ];
      mem_limit = "256m";
      cpus = "1";
      pids_limit = 200;
      stop_grace_period = "10s";
    };

  swarm = map (
    part:
    {
      inherit part;
      "#" = "averages the trades of ${part.trades}: one task does, the others are hot standbys";
      test = (service part).healthcheck.test ++ [ "started" ];
      deploy = rolling topology.consumers.containers;
    }
    // images.oursNamed "stock-consumer"
  ) (filter (part: part.number == 1) (parts "containers"));

  secrets = {
    uid = 10001;
    files = [
      "rabbitmq-consumer.url"
      "mongodb-consumer.url"
    ];
  };

  metrics.job_name = "consumer";
}
