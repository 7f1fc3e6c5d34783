# containers/addresses: where the servers listen in containers, for scripts.
topology:
let
  addresses = kind: builtins.concatStringsSep "," (topology.addresses kind);
in
''
  # ${import ./notice.nix}
  # shellcheck shell=bash disable=SC2034
  # Where the servers listen, in containers.
  rabbitmq_address=${addresses "rabbitmq"}
  mongodb_members=${addresses "mongo"}
''
