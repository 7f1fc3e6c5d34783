# Every kind of part: one file for each. A file gives these attributes; all but `parts` are optional.
#
#   parts PLACE    the parts of this kind, for "local" or "containers"
#   service PART   a container as in compose.yml
#   swarm          a list of the services in stack.yml: a `part`, and how its service differs
#   process PART   a process as in process-compose.yaml
#   secrets        the files that it reads: `files`, for the user with the number `uid`; FILE:AS is a
#                  file under another name
#   metrics        its job as in prometheus.yml; `port` unless it is the part's own
#
# A part has a name, a description, and what it needs of these:
#
#   port           `local` on 127.0.0.1 of this machine, where the environment variable `variable`
#                  changes it; `container` in its container
#   otherPorts     a list of more
#   needs          the parts that must have "started", be "ready" or be "done" before it starts
#   environment    variables, with `secret FILE` for the path of a secret
topology:
with builtins;
let
  files = filter (name: name != "default.nix" && match ".*\\.nix" name != null) (
    attrNames (readDir ./.)
  );
in
listToAttrs (
  map (file: {
    name = head (match "(.*)\\.nix" file);
    value = import (./. + "/${file}") topology;
  }) files
)
