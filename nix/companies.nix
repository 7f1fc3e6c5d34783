# The rule for companies' symbols, prices and volatilities, and the names that are made from a symbol.
with builtins;
with import ./lib.nix;
let
  longest = 32;

  problems =
    shares:
    let
      symbols = map (share: share.symbol) shares;
    in
    concatMap problemsOf symbols
    ++ concatMap otherProblemsOf shares
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

  # The publisher says which numbers are too small or too large.
  otherProblemsOf =
    share:
    let
      known = [
        "symbol"
        "price"
        "volatility"
      ];
      is = name: "${toJSON share.symbol}: its ${name} ";
      isNumber = value: (isInt value || isFloat value) && value > 0;
    in
    concatMap (
      name:
      if !elem name known then
        [ (is name + "means nothing: it may have a price and a volatility") ]
      else if name != "symbol" && !isNumber share.${name} then
        [ (is name + "is no number above 0") ]
      else
        [ ]
    ) (attrNames share);

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

  share = symbol: price: volatility: { inherit symbol price volatility; };

  # valid COMPANIES: the companies as sets, if all follow the rule. Each is a symbol alone, or a set with a
  # `symbol`, and maybe a `price` and a `volatility`.
  valid =
    companies:
    let
      asSet = company: if isAttrs company then { symbol = ""; } // company else { symbol = company; };
      shares = map asSet companies;
      found = problems shares;
    in
    if found == [ ] then
      shares
    else
      throw "the companies in nix/topology.nix:\n  ${concatStringsSep "\n  " found}";

  # variableOf NAME: the name in the middle of an environment variable's.
  variableOf = name: uppercase (replaceStrings [ "-" ] [ "_" ] name);
}
