# The functions of nixpkgs' library that our expressions use, and no others.
let
  inherit (builtins)
    attrNames
    elemAt
    isString
    length
    listToAttrs
    pathExists
    split
    stringLength
    substring
    ;
in
rec {
  # Attribute sets
  nameValuePair = name: value: { inherit name value; };
  genAttrs =
    names: value:
    listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  inherit (builtins) mapAttrs;
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  filterAttrs =
    keep: set:
    listToAttrs (
      map (name: nameValuePair name set.${name}) (filter (name: keep name set.${name}) (attrNames set))
    );

  # Lists and strings
  inherit (builtins) concatMap concatStringsSep filter;
  concatMapStrings = f: list: concatStringsSep "" (map f list);
  concatMapStringsSep =
    separator: f: list:
    concatStringsSep separator (map f list);
  findFirst =
    wanted: otherwise: list:
    let
      found = filter wanted list;
    in
    if found == [ ] then otherwise else builtins.head found;
  last = list: elemAt list (length list - 1);
  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalAttrs = condition: set: if condition then set else { };
  optionalString = condition: text: if condition then text else "";
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      from = stringLength text - stringLength suffix;
    in
    from >= 0 && substring from (stringLength suffix) text == suffix;
  splitString = separator: text: filter isString (split (escapeRegex separator) text);
  escapeRegex = builtins.replaceStrings [ "." "/" "\n" ] [ "\\." "/" "\n" ];
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;

  # Files
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);

  # Packages
  getName = package: package.pname or (builtins.parseDrvName package.name).name;
  getExe = package: "${package}/bin/${package.meta.mainProgram}";
  getExe' = package: name: "${package}/bin/${name}";
  makeBinPath = concatMapStringsSep ":" (package: "${package}/bin");
  licenses.mit = {
    spdxId = "MIT";
  };
  fetchers.proxyImpureEnvVars = [
    "http_proxy"
    "https_proxy"
    "no_proxy"
  ];

  # Here a file set is a function that tells whether a file belongs to it. A path means all files in it.
  fileset =
    let
      toSet =
        it:
        if it ? has then
          it
        else if !builtins.isPath it then
          throw "lib.fileset: ${toString it} is a string, not a path"
        else
          let
            path = toString (if pathExists it then it else throw "lib.fileset: ${toString it} does not exist");
          in
          {
            has = file: file == path || hasPrefix "${path}/" file;
            around = folder: hasPrefix "${folder}/" path || hasPrefix "${path}/" "${folder}/";
          };
      nothing = {
        has = _: false;
        around = _: false;
      };
      union = a: b: {
        has = file: a.has file || b.has file;
        around = folder: a.around folder || b.around folder;
      };
    in
    {
      maybeMissing = path: if pathExists path then toSet path else nothing;
      unions = sets: builtins.foldl' union nothing (map toSet sets);
      difference = a: b: toSet a // { has = file: (toSet a).has file && !((toSet b).has file); };
      fileFilter =
        keep: path:
        toSet path
        // {
          has =
            file:
            (toSet path).has file
            && keep {
              name = baseNameOf file;
              hasExt = extension: hasSuffix ".${extension}" (baseNameOf file);
            };
        };
      toSource =
        { root, fileset }:
        {
          origSrc = root;
          outPath = builtins.path {
            name = "source";
            path = root;
            filter =
              path: type: if type == "directory" then (toSet fileset).around path else (toSet fileset).has path;
          };
        };
    };

  # For the stand-ins only: the real functions accept any attribute and pass most of them on as
  # variables of the build. The stand-ins accept only known ones, so that a misspelt attribute fails here.
  strictly =
    what: known: given:
    let
      unknown = filter (name: !(builtins.elem name known)) (attrNames given);
    in
    if unknown == [ ] then given else throw "${what} has no argument ${concatStringsSep ", " unknown}";
}
