# What the system consists of, said once. compose.yml, stack.yml, process-compose.yaml, the local ports
# and the load balancer's configuration are rendered from it: `make generate`.
#
# It uses only Nix's own functions: `nix eval --file nix/topology.nix companies` works anywhere.
with builtins;
let
  # ---- What one may want to change --------------------------------------------------------------

  # Each has its own queue and its own consumers.
  companies = [
    "MSFT"
    "TSLA"
    "AAPL"
  ];

  # Of each company. All but one are hot standbys.
  consumers = {
    local = 1;
    containers = 2;
  };

  # Behind the load balancer.
  liveviews = 2;

  # Of the replica set. Three survive the loss of one.
  members = 3;

  # Of the cluster on several machines; each machine runs one.
  brokers = 3;

  # Where each part listens: on 127.0.0.1 of this machine, and in its container.
  ports = {
    nginx = {
      local = 3000;
      container = 3000;
    };
    liveview = {
      local = 3001; # and the following numbers
      container = 3000;
    };
    rabbitmq = {
      local = 5673;
      container = 5672;
    };
    rabbitmqNodes.local = 25673;
    epmd.local = 4370;
    mongo = {
      local = 27117; # and the following numbers
      container = 27017;
    };
    publisher = {
      local = 9100;
      container = 9100;
    };
    consumer = {
      local = 9101; # and the following numbers
      container = 9101;
    };
  };

  # ---- What follows from it -----------------------------------------------------------------------
  #
  # A part has a name, a kind, a description, a port, an environment, and `needs`: the parts that must
  # have "started", be "ready" or be "done" before it starts.

  # numbered 3 f: [ (f 1) (f 2) (f 3) ]
  numbered = count: f: genList (index: f (index + 1)) count;

  # numberedPort "mongo" 2 "MONGO2_PORT": the port of the second of several parts on one machine.
  numberedPort = kind: number: variable: {
    inherit variable;
    local = ports.${kind}.local + number - 1;
    inherit (ports.${kind}) container;
  };

  characters = text: genList (index: substring index 1 text) (stringLength text);
  lowercase = replaceStrings (characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
    characters "abcdefghijklmnopqrstuvwxyz"
  );

  # In an environment: the path of a secret's file, which differs between renderings.
  secret = name: { secret = name; };

  # each [ "a" "b" ] value: { a = value; b = value; }
  each =
    names: value:
    listToAttrs (
      map (name: {
        inherit name value;
      }) names
    );

  memberNames = numbered members (n: "mongo${toString n}");
  liveviewNames = numbered liveviews (n: "liveview${toString n}");
  database = each memberNames "ready" // {
    mongo-init = "done";
  };

  broker = {
    name = "rabbitmq";
    kind = "rabbitmq";
    description = "the broker, with one queue for each company";
    port = ports.rabbitmq // {
      variable = "RABBITMQ_PORT";
    };
  };

  memberParts = numbered members (n: {
    name = elemAt memberNames (n - 1);
    kind = "mongo";
    description = "a member of the replica set rs0";
    port = numberedPort "mongo" n "MONGO${toString n}_PORT";
  });

  replicaSet = {
    name = "mongo-init";
    kind = "mongo-init";
    description = "makes the members a replica set with users, then ends";
    needs = each memberNames "started";
  };

  publisher = {
    name = "publisher";
    kind = "publisher";
    description = "publishes the trades of all companies";
    port = ports.publisher // {
      variable = "PUBLISHER_HTTP_PORT";
    };
    needs.rabbitmq = "ready";
    environment = {
      RABBITMQ_URL_FILE = secret "rabbitmq-publisher.url";
      STOCKS = concatStringsSep "," companies;
    };
  };

  # A company's first consumer is named after it; its standbys have a number after the name.
  consumer =
    company: number: index:
    let
      suffix = separator: if number == 1 then "" else "${separator}${toString number}";
    in
    {
      name = "consumer-${lowercase company}${suffix "-"}";
      kind = "consumer";
      inherit company number;
      description =
        if number == 1 then
          "averages the trades of ${company}"
        else
          "hot standby for the trades of ${company}";
      port = numberedPort "consumer" index "CONSUMER_${company}${suffix "_"}_HTTP_PORT";
      needs = database // {
        rabbitmq = "ready";
      };
      environment = {
        RABBITMQ_URL_FILE = secret "rabbitmq-consumer.url";
        RABBITMQ_QUEUE = company;
        MONGODB_URL_FILE = secret "mongodb-consumer.url";
      };
    };

  consumerParts =
    place:
    let
      copies = concatMap (company: numbered consumers.${place} (consumer company)) companies;
    in
    numbered (length copies) (index: elemAt copies (index - 1) index);

  liveviewParts = numbered liveviews (n: {
    name = elemAt liveviewNames (n - 1);
    kind = "liveview";
    description = "shows the newest averages, live";
    port = numberedPort "liveview" n "LIVEVIEW${toString n}_PORT";
    needs = database;
    environment = {
      MONGODB_URL_FILE = secret "mongodb-liveview.url";
      LIVEVIEW_NAME = "liveview-${toString n}";
    };
  });

  loadBalancer = {
    name = "nginx";
    kind = "nginx";
    description = "the load balancer, the only part that others reach";
    port = ports.nginx // {
      variable = "NGINX_PORT";
    };
    needs = each liveviewNames "started";
  };
in
{
  inherit
    companies
    consumers
    liveviews
    members
    brokers
    ports
    liveviewNames
    numbered
    each
    ;

  # All parts, in the order in which data passes them, for "local" or "containers".
  parts =
    place:
    concatLists [
      [ broker ]
      memberParts
      [
        replicaSet
        publisher
      ]
      (consumerParts place)
      liveviewParts
      [ loadBalancer ]
    ];
}
