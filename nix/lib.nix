# Functions that several files use.
with builtins;
let
  characters = text: genList (index: substring index 1 text) (stringLength text);
  capitals = characters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  smalls = characters "abcdefghijklmnopqrstuvwxyz";
in
rec {
  # numbered 3 f: [ (f 1) (f 2) (f 3) ]
  numbered = count: f: genList (index: f (index + 1)) count;

  # dealt 3 1 [ "a" "b" "c" "d" ]: [ "a" "d" ], what the first of three gets.
  dealt =
    hands: hand: list:
    map (index: elemAt list index) (
      filter (index: (hand - 1) == index - hands * (index / hands)) (genList (index: index) (length list))
    );

  # each [ "a" "b" ] value: { a = value; b = value; }
  each = names: value: eachIs names (_: value);

  # eachIs [ "a" "b" ] f: { a = f "a"; b = f "b"; }
  eachIs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );

  # unless CONDITION SET: nothing, or the set.
  unless = condition: set: if condition then { } else set;

  # onlyIn PLACE PARTS: the `parts` of a kind that another place does not have.
  onlyIn =
    wanted: parts: place:
    if place == wanted then parts else [ ];

  # In an environment: the path of a secret's file, which differs between renderings.
  secret = name: { secret = name; };

  # resolve PATH ENVIRONMENT: with the paths of secrets in the folder PATH.
  resolve = path: mapAttrs (_: value: if isAttrs value then "${path}/${value.secret}" else value);

  # answers PATH PART: the probe of a process that serves its health over HTTP.
  answers = path: part: {
    http_get = {
      host = "127.0.0.1";
      port = "\${${part.port.variable}}";
      inherit path;
    };
  };

  # unique LIST: each of its elements once.
  unique = foldl' (list: it: if elem it list then list else list ++ [ it ]) [ ];

  lowercase = replaceStrings capitals smalls;
  uppercase = replaceStrings smalls capitals;
}
