# containers/rabbitmq/cluster.conf: what makes several brokers one.
topology:
let
  inherit (builtins) concatStringsSep toString;
  nodes = topology.numbered topology.brokers (
    n: "cluster_formation.classic_config.nodes.${toString n} = rabbit@rabbitmq${toString n}"
  );
in
''
  # ${import ./notice.nix}
  # What makes several brokers one: for stack.yml.
  cluster_formation.peer_discovery_backend = classic_config
  ${concatStringsSep "\n" nodes}
  cluster_formation.target_cluster_size_hint = ${toString topology.brokers}
  # A queue that was declared before all were there gets its copies when they are.
  quorum_queue.continuous_membership_reconciliation.enabled = true
  quorum_queue.continuous_membership_reconciliation.target_group_size = ${toString topology.brokers}
  quorum_queue.continuous_membership_reconciliation.interval = 10000
''
