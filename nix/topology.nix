# What the system consists of. The files in parts/ describe each kind of part, renderings/ what is
# rendered from them: `make generate`.
#
# It uses only Nix's own functions: `nix eval --file nix/topology.nix companies` works anywhere.
with builtins;
let
  inherit (import ./companies.nix) share valid;

  # Each has its own queue. companies.nix says which symbols are valid.
  #
  # share SYMBOL PRICE VOLATILITY: the price that its prices move around, and its volatility in percent a
  # year: 75 moves a price by about 0.24 % in a minute. These are three times those of the real shares,
  # so that there is something to see. A symbol alone will do: its price is from 50 to 550, its
  # volatility 100.
  shares = valid [
    (share "MSFT" 430 75)
    (share "TSLA" 340 150)
    (share "AAPL" 230 90)
  ];

  # Their symbols.
  companies = map (share: share.symbol) shares;

  # Of all companies together; of one company at most 1000.
  tradesPerSecond = 5000;

  # Up to so many companies have a consumer each. More than that are dealt to so many consumers: 500
  # companies to 8, for example. Of each consumer there are so many processes: one works, the others are
  # hot standbys.
  consumers = {
    most = 8;
    local = 1;
    containers = 2;
  };

  # Behind the load balancer.
  liveviews = 2;

  # Of the replica set. Three survive the loss of one.
  members = 3;

  # Of the cluster on several machines; each machine runs one.
  brokers = 3;

  # MiB that each broker may use in containers. Each queue has a log of its own.
  brokerMemory =
    let
      many = length companies - 100;
    in
    1024 + 2 * (if many > 0 then many else 0);

  # kind -> what its file in parts/ says
  kinds = import ./parts topology;

  # All parts, for "local" or "containers".
  parts = place: concatMap (kind: partsOf kind place) (attrNames kinds);

  partsOf = kind: place: map (part: part // { inherit kind; }) (kinds.${kind}.parts place);

  # Where the containers of a kind listen.
  addresses =
    kind: map (part: "${part.name}:${toString part.port.container}") (partsOf kind "containers");

  topology = {
    inherit
      shares
      companies
      tradesPerSecond
      consumers
      liveviews
      members
      brokers
      brokerMemory
      kinds
      parts
      partsOf
      addresses
      ;
  };
in
topology
