# Writes YAML as a person would: in the given order, with comments and empty lines where they help.
# Only Nix's own functions are used, so that any Nix renders the files, without nixpkgs.
#
# A value is a string, a number, a boolean, a list, or a mapping: `map [ { a = 1; } { b = 2; } ]`
# keeps that order. Beside its entries a mapping may hold `line` (an empty line) and `comment "…"`.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    filter
    genList
    head
    isAttrs
    isBool
    isList
    isString
    match
    replaceStrings
    split
    ;

  spaces = depth: concatStringsSep "" (genList (_: "  ") depth);
  # The last line's end begins no new line.
  lines = text: filter isString (split "\n" (head (match "(.*[^\n])\n?" text)));

  # What would be read as something other than this very string is quoted.
  isPlain =
    text:
    match "[A-Za-z/_0-9][^#=\"\\]*[^#=\"\\: ]|[A-Za-z/_]" text != null
    && match ".*(: | #).*" text == null
    && match "[0-9]+([.:][0-9]+)?|true|false|yes|no|on|off|null|~" text == null;
  quoted = text: "\"${replaceStrings [ "\\" "\"" "\n" ] [ "\\\\" "\\\"" "\\n" ] text}\"";

  scalar =
    value:
    if isString value then
      (if isPlain value then value else quoted value)
    else if isBool value then
      (if value then "true" else "false")
    else
      toString value;

  # What follows `key:` or `-`: on the same line, or below it.
  value =
    depth: it:
    if it ? verbatim then
      " ${it.verbatim}"
    else if it ? flow then
      " [${concatStringsSep ", " (map scalar it.flow)}]"
    else if it ? anchor then
      " &${it.anchor}${value depth it.of}"
    else if it ? text then
      " |\n" + concatStringsSep "\n" (map (line: if line == "" then "" else spaces depth + line) it.text)
    else if it ? entries then
      (if it.entries == [ ] then " {}" else "\n${entries depth it.entries}")
    else if isList it then
      (if it == [ ] then " []" else "\n${concatStringsSep "\n" (map (item depth) it)}")
    else
      " ${scalar it}";

  # A mapping in a list begins beside the dash.
  item =
    depth: it:
    if it ? entries then
      "${spaces depth}- " + builtins.substring (2 * (depth + 1)) (-1) (entries (depth + 1) it.entries)
    else
      "${spaces depth}-${value (depth + 1) it}";

  entries =
    depth: list:
    concatStringsSep "\n" (
      map (
        entry:
        if entry ? _line then
          ""
        else if entry ? _comment then
          concatStringsSep "\n" (
            map (line: spaces depth + (if line == "" then "#" else "# ${line}")) (lines entry._comment)
          )
        else
          let
            key = head (attrNames entry);
          in
          "${spaces depth}${key}:${value (depth + 1) entry.${key}}"
      ) list
    );
in
{
  map = entries: { inherit entries; };
  line._line = true;
  comment = text: { _comment = text; };

  # Written as it is: a number that only the reader of the file knows, `*anchor`, `!tag`.
  verbatim = verbatim: { inherit verbatim; };
  flow = flow: { inherit flow; };
  anchor = anchor: of: { inherit anchor of; };
  # The entries of a part that was written once, under an anchor.
  merge = anchor: { "<<".verbatim = "*${anchor}"; };
  # With an empty line before each block but the first.
  spaced = blocks: builtins.tail (builtins.concatMap (block: [ { _line = true; } ] ++ block) blocks);

  # The one key of an entry; entries that stand only under a condition.
  key = entry: head (attrNames entry);
  optional = condition: entries: if condition then entries else [ ];

  # A text over several lines.
  text = text: { text = lines text; };

  write =
    it:
    assert isAttrs it;
    entries 0 it.entries + "\n";
}
