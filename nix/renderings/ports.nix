# scripts/ports: which port each local part has.
topology:
with builtins;
let
  ports = sort (a: b: a.local < b.local) (
    concatMap (part: (if part ? port then [ part.port ] else [ ]) ++ part.otherPorts or [ ]) (
      topology.parts "local"
    )
  );

  pad = width: text: concatStringsSep "" (genList (_: " ") (width - stringLength text));
  widest = foldl' (
    width: port: if stringLength port.variable > width then stringLength port.variable else width
  ) 0 ports;
  row =
    { variable, local, ... }:
    let
      number = toString local;
    in
    "${variable}${pad (widest + 1) variable}${pad 5 number}${number}\n";
in
''
  # ${import ./notice.nix}
  # Every port of the local system, on 127.0.0.1. An environment variable of the
  # same name changes it.
''
+ concatStringsSep "" (map row ports)
