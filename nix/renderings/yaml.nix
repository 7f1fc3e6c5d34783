# Writes an attribute set as YAML. Mappings are in a conventional order, then by name. The text under
# "#" in a mapping becomes the comment above it. { raw = "!reset null"; } is written as it is.
with builtins;
with import ../lib.nix;
let
  # The keys that a reader looks for first, in this order. All others follow by name.
  first = filter isString (
    split " " "version name description profiles image user entrypoint command environment services networks volumes secrets configs source target test"
  );
  names =
    set:
    filter (name: set ? ${name}) first
    ++ filter (name: name != "#" && !(elem name first)) (attrNames set);

  spaces = depth: concatStringsSep "" (genList (_: "  ") depth);
  comment =
    depth: text:
    concatStringsSep "" (
      map (line: spaces depth + (if line == "" then "#\n" else "# ${line}\n")) (
        filter isString (split "\n" text)
      )
    );

  # Everything that YAML might read as something else than this very string is quoted.
  isPlain =
    text:
    match "[A-Za-z/_$][A-Za-z0-9 _./$@{}=?:,;<>()|'-]*" text != null
    && match ".*(: | $|:$).*" text == null
    && !(elem (lowercase text) [
      "true"
      "false"
      "yes"
      "no"
      "y"
      "n"
      "on"
      "off"
      "null"
    ])
    || match "[0-9]+[a-z]+" text != null && match "0x.*" text == null;
  quoted = text: "\"${replaceStrings [ "\\" "\"" "\n" ] [ "\\\\" "\\\"" "\\n" ] text}\"";
  scalar =
    value:
    if isString value then
      (if isPlain value then value else quoted value)
    else if isBool value then
      (if value then "true" else "false")
    else
      toString value;
  isScalar = value: !(isAttrs value || isList value);

  # A short list of scalars stands on one line.
  flow = list: "[${concatStringsSep ", " (map scalar list)}]";
  isShort =
    list:
    !(any (value: !(isScalar value) || match ".*[],[{}].*" (scalar value) != null) list)
    && stringLength (flow list) < 80;

  # What follows `key:` or `-`.
  value =
    depth: it:
    if isScalar it then
      " ${scalar it}\n"
    else if isAttrs it then
      (
        if it ? raw then
          " ${it.raw}\n"
        else if names it == [ ] then
          " {}\n"
        else
          "\n${entries depth it}"
      )
    else if isShort it then
      " ${flow it}\n"
    else
      "\n${concatStringsSep "" (map (item depth) it)}";

  # A mapping in a list begins beside the dash.
  item =
    depth: it:
    if isAttrs it then
      "${spaces depth}- " + substring (2 * (depth + 1)) (-1) (entries (depth + 1) it)
    else
      "${spaces depth}-${value (depth + 1) it}";

  entries =
    depth: set:
    concatStringsSep (if depth < 2 && any (name: set.${name} ? "#") (attrNames set) then "\n" else "") (
      map (
        name:
        (if set.${name} ? "#" then comment depth set.${name}."#" else "")
        + "${spaces depth}${name}:${value (depth + 1) set.${name}}"
      ) (names set)
    );
in
# yaml HEADER SET: the text of a file.
header: set: comment 0 header + entries 0 set
