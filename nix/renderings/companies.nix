# scripts/companies: the companies' symbols, for scripts.
topology:
let
  lines = map (company: "${company}\n") topology.companies;
in
''
  # ${import ./notice.nix}
  # The companies, one on each line.
''
+ builtins.concatStringsSep "" lines
