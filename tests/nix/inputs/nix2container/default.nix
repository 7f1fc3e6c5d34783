# buildImage and buildLayer, with the arguments of the real ones.
#
# The real functions write a description that a patched skopeo turns into an image while it copies;
# these write an OCI layout, which any skopeo copies. Layers, configuration and order are the same.
system:
let
  host = import ./host.nix;
  arm = builtins.match "aarch64-.*" system != null;

  run =
    name: arguments: script:
    derivation (
      {
        inherit name;
        inherit (host) system;
        builder = host.bash;
        # The shell must end last: Nix kills processes that have closed their output.
        args = [
          "-euc"
          "${script}\nexit"
        ];
        PATH = host.stdenv;
      }
      // arguments
    );

  list =
    value:
    if value == null then
      [ ]
    else if builtins.isList value then
      value
    else
      [ value ];

  # The content of the image: the paths and their closure.
  graphs =
    paths:
    builtins.concatLists (
      builtins.genList (n: [
        "graph-${toString n}"
        (builtins.elemAt paths n)
      ]) (builtins.length paths)
    );

  # The fields of the image specification. It has no health check and no shell form.
  fields = {
    User = "string";
    ExposedPorts = "set";
    Env = "list";
    Entrypoint = "list";
    Cmd = "list";
    Volumes = "set";
    WorkingDir = "string";
    Labels = "set";
    StopSignal = "string";
  };
  checked =
    config:
    builtins.mapAttrs (
      name: value:
      if !(fields ? ${name}) then
        throw "an image's config has no field ${name}"
      else if builtins.typeOf value != fields.${name} then
        throw "an image's ${name} is a ${fields.${name}}, not a ${builtins.typeOf value}"
      else
        value
    ) config;

  buildLayer =
    {
      deps ? [ ],
      copyToRoot ? null,
      ignore ? null,
      layers ? [ ],
      metadata ? {
        created_by = "nix2container";
      },
    }:
    let
      roots = list copyToRoot;
      paths = deps ++ roots;
      layer = run "layer" { exportReferencesGraph = graphs paths; } ''
        python3 ${./image.py} layer $out \
          --graphs ${toString (builtins.genList (n: "graph-${toString n}") (builtins.length paths))} \
          --roots ${toString roots} \
          --ignore ${toString (list ignore)} \
          --beneath ${toString layers} \
          --history ${builtins.toFile "history.json" (builtins.toJSON metadata)}
      '';
    in
    layer // { nestedLayers = builtins.concatMap (l: l.nestedLayers) layers ++ layers; };

  buildImage =
    {
      name,
      tag ? null,
      config ? { },
      layers ? [ ],
      copyToRoot ? null,
      arch ? if arm then "arm64" else "amd64",
      created ? "0001-01-01T00:00:00Z",
      meta ? { },
    }:
    let
      configFile = run "config.json" {
        text = builtins.toJSON (checked config);
      } "printf %s \"$text\" > $out";
      allLayers = builtins.concatMap (l: l.nestedLayers) layers ++ layers;
      last = buildLayer {
        inherit copyToRoot layers;
        deps = [ configFile ];
        ignore = configFile;
      };
      image = run "image-${baseNameOf name}.json" { } ''
        python3 ${./image.py} image $out \
          --config ${configFile} --arch ${arch} --created ${created} \
          --layers ${toString (allLayers ++ [ last ])}
      '';
      imageTag = if tag != null then tag else builtins.substring 0 32 (baseNameOf image.outPath);
      copy =
        program: arguments:
        run program { inherit arguments; } ''
          mkdir -p $out/bin
          printf '#!%s\nexec %s --insecure-policy copy oci:%s %s "$@"\n' \
            ${host.bash} ${host.programs.skopeo} ${image} "$arguments" > $out/bin/${program}
          chmod +x $out/bin/${program}
        '';
    in
    image
    // {
      inherit meta imageTag;
      imageName = name;
      copyToDockerDaemon = copy "copy-to-docker-daemon" "docker-daemon:${name}:${imageTag}";
      copyTo = copy "copy-to" "";
    };
in
{
  inherit buildImage buildLayer;
}
