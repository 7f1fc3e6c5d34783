# The publisher.
topology:
with builtins;
with import ../lib.nix;
with import ../containers;
let
  # VARIABLE, with each company's NAME: empty for a company that has none. If none has, there is no variable.
  listOf =
    variable: name:
    let
      values = map (share: if share ? ${name} then toJSON share.${name} else "") topology.shares;
    in
    unless (all (value: value == "") values) {
      ${variable} = concatStringsSep "," values;
    };

  # Milliseconds between two trades of a company, so that all together make as many as the topology says.
  interval =
    let
      exact = 1000 * length topology.companies / topology.tradesPerSecond;
    in
    if exact < 1 then 1 else exact;

  publisher = {
    name = "publisher";
    description = "publishes the trades of all companies";
    port = {
      variable = "PUBLISHER_HTTP_PORT";
      local = 9100;
      container = 9100;
    };
    needs.rabbitmq = "ready";
    environment = {
      RABBITMQ_URL_FILE = secret "rabbitmq-publisher.url";
      STOCKS = concatStringsSep "," topology.companies;
      TICKER_INTERVAL = "\${TICKER_INTERVAL:-${toString interval}}";
      PRICE_MODEL = "walk";
    }
    // listOf "START_PRICES" "price"
    // listOf "VOLATILITIES" "volatility";
  };
in
rec {
  parts = _: [ publisher ];

  process = part: {
    command = "exec target/debug/stock-publisher";
    environment.HTTP_ADDRESS = "127.0.0.1:\${${part.port.variable}}";
    readiness_probe = answers "/readyz" part;
  };

  service =
    _:
    hardened
    // built "stock-publisher"
    // {
      user = nobody;
      networks = [ "publishing" ];
      healthcheck = check [
        "/bin/stock-publisher"
        "healthcheck"
      ];
      mem_limit = "256m";
      cpus = "1";
      pids_limit = 200;
      stop_grace_period = "10s";
    };

  swarm = [
    (
      {
        part = publisher;
        test = (service publisher).healthcheck.test ++ [ "started" ];
      }
      // images.oursNamed "stock-publisher"
    )
  ];

  secrets = {
    uid = 10001;
    files = [ "rabbitmq-publisher.url" ];
  };

  metrics.job_name = "publisher";
}
