# What the system consists of, said once. compose.yml, process-compose.yaml, the ports of the local
# system and the load balancer's configuration are renderings of this file (`make generate`).
#
# Plain data and small functions of Nix's own: `nix eval --file nix/topology.nix companies` works
# anywhere.
let
  inherit (builtins)
    concatMap
    concatStringsSep
    elemAt
    genList
    length
    ;

  # ---- What one may want to change --------------------------------------------------------------

  # Each has a queue of its own, and consumers of its own.
  companies = [
    "MSFT"
    "TSLA"
    "AAPL"
  ];

  # Of each company; all but one are hot standbys.
  consumers = {
    local = 1;
    containers = 2;
  };

  # Behind the load balancer.
  liveviews = 2;

  # Of the replica set. Three survive the loss of one.
  members = 3;

  # Of the cluster that several machines run; one machine runs one.
  brokers = 3;

  # Where each part is reached: on this machine, all of them at once on 127.0.0.1; in containers.
  ports = {
    nginx = {
      local = 3000;
      container = 3000;
    };
    liveview = {
      local = 3001; # and the numbers after it
      container = 3000;
    };
    rabbitmq = {
      local = 5673;
      container = 5672;
    };
    rabbitmqNodes.local = 25673;
    epmd.local = 4370;
    mongo = {
      local = 27117; # and the numbers after it
      container = 27017;
    };
    publisher = {
      local = 9100;
      container = 9100;
    };
    consumer = {
      local = 9101; # and the numbers after it
      container = 9101;
    };
  };

  # ---- What follows from it -----------------------------------------------------------------------

  # numbered 3 f: [ (f 1) (f 2) (f 3) ]
  numbered = count: f: genList (index: f (index + 1)) count;
  indexed = list: f: genList (index: f index (elemAt list index)) (length list);

  characters = text: genList (index: builtins.substring index 1 text) (builtins.stringLength text);
  lowercase = builtins.replaceStrings (characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (
    characters "abcdefghijklmnopqrstuvwxyz"
  );

  # A value of the environment that is a secret's file: each rendering knows where these lie.
  secret = name: { secret = name; };

  # Conditions under which a part can start: the other part runs, is ready, or has done its work.
  started = name: { ${name} = "started"; };
  ready = name: { ${name} = "ready"; };
  done = name: { ${name} = "done"; };

  memberNames = numbered members (n: "mongo${toString n}");
  liveviewNames = numbered liveviews (n: "liveview${toString n}");
  database = map ready memberNames ++ [ (done "mongo-init") ];

  broker = {
    name = "rabbitmq";
    kind = "rabbitmq";
    description = "the broker, with one queue per company";
    port = ports.rabbitmq // {
      variable = "RABBITMQ_PORT";
    };
    needs = [ ];
  };

  memberParts = indexed memberNames (
    index: name: {
      inherit name;
      kind = "mongo";
      description = "a member of the replica set rs0";
      port = {
        variable = "MONGO${toString (index + 1)}_PORT";
        local = ports.mongo.local + index;
        inherit (ports.mongo) container;
      };
      needs = [ ];
    }
  );

  replicaSet = {
    name = "mongo-init";
    kind = "mongo-init";
    description = "makes the members a replica set with users, then ends";
    needs = map started memberNames;
  };

  publisher = {
    name = "publisher";
    kind = "publisher";
    description = "publishes the trades of every company";
    port = ports.publisher // {
      variable = "PUBLISHER_HTTP_PORT";
    };
    needs = [ (ready "rabbitmq") ];
    environment = [
      { RABBITMQ_URL_FILE = secret "rabbitmq-publisher.url"; }
      { STOCKS = concatStringsSep "," companies; }
    ];
  };

  # The first consumer of a company bears its name alone, its standbys a number after it.
  consumerParts =
    place:
    let
      copies = concatMap (
        company:
        numbered consumers.${place} (number: {
          inherit company number;
        })
      ) companies;
    in
    indexed copies (
      index:
      { company, number }:
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
            "stands by to average the trades of ${company}";
        port = {
          variable = "CONSUMER_${company}${suffix "_"}_HTTP_PORT";
          local = ports.consumer.local + index;
          inherit (ports.consumer) container;
        };
        needs = [ (ready "rabbitmq") ] ++ database;
        environment = [
          { RABBITMQ_URL_FILE = secret "rabbitmq-consumer.url"; }
          { RABBITMQ_QUEUE = company; }
          { MONGODB_URL_FILE = secret "mongodb-consumer.url"; }
        ];
      }
    );

  liveviewParts = indexed liveviewNames (
    index: name: {
      inherit name;
      kind = "liveview";
      description = "shows the newest averages, live";
      port = {
        variable = "LIVEVIEW${toString (index + 1)}_PORT";
        local = ports.liveview.local + index;
        inherit (ports.liveview) container;
      };
      needs = database;
      environment = [
        { MONGODB_URL_FILE = secret "mongodb-liveview.url"; }
        { LIVEVIEW_NAME = "liveview-${toString (index + 1)}"; }
      ];
    }
  );

  loadBalancer = {
    name = "nginx";
    kind = "nginx";
    description = "the load balancer, the only door";
    port = ports.nginx // {
      variable = "NGINX_PORT";
    };
    needs = map started liveviewNames;
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
    ;

  # Every part in the order of the data's way, for "local" or "containers".
  parts =
    place:
    [ broker ]
    ++ memberParts
    ++ [
      replicaSet
      publisher
    ]
    ++ consumerParts place
    ++ liveviewParts
    ++ [ loadBalancer ];
}
