# containers/rabbitmq/cluster.conf: joins the brokers of stack.yml to a cluster.
topology:
with builtins;
with import ../lib.nix;
let
  nodes = numbered topology.brokers (
    n: "cluster_formation.classic_config.nodes.${toString n} = rabbit@rabbitmq${toString n}"
  );
in
''
  # ${import ./notice.nix}
  # Joins the brokers of stack.yml to a cluster.
  # No users yet, so no guest either: the part rabbitmq-init gives them.
  load_definitions = /stockmarket/containers/rabbitmq/vhosts.json
  cluster_formation.peer_discovery_backend = classic_config
  ${concatStringsSep "\n" nodes}
  cluster_formation.target_cluster_size_hint = ${toString topology.brokers}
  # A queue that was declared before all brokers had joined gets its replicas later.
  quorum_queue.continuous_membership_reconciliation.enabled = true
  quorum_queue.continuous_membership_reconciliation.target_group_size = ${toString topology.brokers}
  quorum_queue.continuous_membership_reconciliation.interval = 10000
''
