# The rule for companies' symbols, and the names that are made from a symbol.
with builtins;
with import ./lib.nix;
let
  longest = 32;

  problems =
    symbols:
    concatMap problemsOf symbols
    ++ map (symbol: "${toJSON symbol} is there twice") (repeated symbols)
    ++ map (name: "two companies get the same name, ${name}: rename one of them") (
      repeated (map nameOf (distinct (filter isString symbols)))
    );

  problemsOf =
    symbol:
    let
      is = pattern: match pattern symbol != null;
      refuse = condition: why: if condition then [ "${toJSON symbol}: ${why}" ] else [ ];
    in
    if !isString symbol then
      [ "${toJSON symbol}: a symbol is a string" ]
    else
      refuse (
        symbol == "" || stringLength symbol > longest
      ) "a symbol has 1 to ${toString longest} characters"
      ++ refuse (!is "[A-Za-z0-9._^=/:-]*") "a symbol has only letters, digits and . - _ ^ = / :"
      ++ refuse (is "amq\\..*") "queues that begin with amq. are the broker's own"
      ++ refuse (is ".*\\.rejected") "queues that end in .rejected hold invalid trades";

  distinct = foldl' (found: it: if elem it found then found else found ++ [ it ]) [ ];
  repeated = list: distinct (filter (it: length (filter (other: other == it) list) > 1) list);

  # nameOf SYMBOL: a name of lower-case letters, digits and dashes, which is valid everywhere: for hosts,
  # containers, processes and files. No two companies have the same one, so a symbol that is more than
  # capital letters and digits gets a part of its hash: BRK.B, BRK-B and brk.b are three companies.
  nameOf =
    symbol:
    let
      words = filter (word: isString word && word != "") (split "[^A-Za-z0-9]+" symbol);
      hash = substring 0 6 (hashString "sha256" symbol);
    in
    lowercase (
      if match "[A-Z0-9]+" symbol != null then symbol else concatStringsSep "-" (words ++ [ hash ])
    );
in
{
  inherit nameOf;

  # valid SYMBOLS: the symbols, if all follow the rule.
  valid =
    symbols:
    let
      found = problems symbols;
    in
    if found == [ ] then
      symbols
    else
      throw "the companies in nix/topology.nix:\n  ${concatStringsSep "\n  " found}";

  # variableOf NAME: the name in the middle of an environment variable's.
  variableOf = name: uppercase (replaceStrings [ "-" ] [ "_" ] name);
}
