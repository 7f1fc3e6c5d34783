# The packages and builders of nixpkgs that our expressions use, and no others.
{
  system,
  config ? { },
}:
let
  lib = import ./lib.nix;
  host = import ./host.nix;

  isLinux = lib.hasSuffix "-linux" system;
  arm = lib.hasPrefix "aarch64-" system;
  platform = {
    inherit system isLinux;
    isDarwin = !isLinux;
    # This machine's Rust has only its own platform's libraries: the program under the arm64 label
    # is not an arm64 program. It serves to test publishing, not to run.
    rust.rustcTarget = host.rustTarget;
  };
  inherit
    (import ./stdenv.nix {
      inherit
        lib
        host
        platform
        compiler
        ;
    })
    stdenv
    stdenvNoCC
    ;

  runCommand =
    name: arguments: buildCommand:
    stdenvNoCC.mkDerivation (arguments // { inherit name buildCommand; });

  # A package that contains programs of this machine. Those that it lacks can be found, but not run.
  programs =
    name: list: passthru:
    (runCommand "host-${name}" { meta.mainProgram = builtins.head list; } ''
      mkdir -p $out/bin
      ${lib.concatMapStrings (program: ''
        ln -s ${host.programs.${program} or "${absent}/bin/absent"} $out/bin/${program}
      '') list}
    '')
    // passthru;
  tool = name: programs name [ name ] { };
  absent = script "absent" "echo \"this machine has no \${0##*/}\" >&2; exit 127";

  # A server's package: its program only says its version.
  server =
    pname: version: program: text:
    script program "echo '${text}'" // { inherit pname version; };

  unfree =
    package:
    if (config.allowUnfreePredicate or (_: false)) package then
      package
    else
      throw "${package.name} is unfree and not allowed";

  # A script that runs on any machine, as nixpkgs' own have an interpreter from the store.
  script =
    name: text:
    runCommand name { env = { inherit text; }; } ''
      mkdir -p $out/bin
      printf '#!%s\n%s\n' ${host.bash} "$text" > $out/bin/${name}
      chmod +x $out/bin/${name}
    '';

  # glibc as nixpkgs divides it: `out` is for dynamic programs and has no libc.a, `static` has nothing else.
  # Since glibc 2.34 some libraries exist only for old programs; nixpkgs gives these names for linking.
  glibc = {
    bin = script "ldd" ''exec ${host.bash} ${host.programs.ldd} "$@"'';
    out = runCommand "glibc" { } ''
      mkdir -p $out/lib
      cd $out/lib
      ln -s ${host.libc}/*crt?.o ${host.libc}/lib*_nonshared.a ${host.gccShared} .
      for name in c m mvec pthread dl rt util resolv anl; do
        for file in ${host.libc}/lib$name.so ${host.libc}/lib$name.so.*; do
          [ ! -e $file ] || ln -s $file .
        done
        [ -e lib$name.so ] || [ ! -e lib$name.so.? ] || ln -s lib$name.so.? lib$name.so
      done
    '';
    static = runCommand "glibc-static" { } ''
      mkdir -p $out/lib
      cd $out/lib
      for name in c m pthread dl rt util resolv anl; do
        ln -s ${host.libc}/lib$name.a .
      done
    '';
  };

  # The compiler as nixpkgs wraps it. It knows no folder of the machine's, so only what the expressions
  # name is linked: first what the command line names, then the build inputs, then glibc without libc.a.
  compiler =
    let
      wrapper = script "cc" ''
        export GCC_EXEC_PREFIX=${own}/lib/gcc/ COMPILER_PATH=${host.gccPrograms}
        exec ${host.compiler}/cc --sysroot=${own}/none "$@" $NIX_LDFLAGS -L${glibc.out}/lib -B${glibc.out}/lib \
          -idirafter /usr/include -idirafter ${host.headers}
      '';
      # gcc also looks for libraries in places relative to its own: beside this folder there are none.
      own = runCommand "gcc" { } ''
        folder=$out/lib/gcc/${host.gccVersion}
        mkdir -p "$folder"
        ln -s ${host.gccLibrary}/* "$folder"
      '';
    in
    wrapper;

  writeText =
    name: text:
    runCommand name { env = { inherit text; }; } ''
      printf %s "$text" > $out
    '';

  buildGoModule =
    {
      pname,
      version,
      src,
      vendorHash,
      overrideModAttrs ? (_: { }),
      env ? { },
      ldflags ? [ ],
      subPackages ? [ ],
      doCheck ? true,
      checkFlags ? [ ],
      nativeBuildInputs ? [ ],
      postFixup ? "",
      allowedReferences ? null,
      meta ? { },
    }:
    let
      goModules =
        (stdenvNoCC.mkDerivation {
          name = "${pname}-${version}-go-modules";
          inherit src;
          nativeBuildInputs = nativeBuildInputs ++ [ go ];
          buildPhase = ''
            export GOCACHE=$TMPDIR/go-cache GOFLAGS=
            go mod vendor
          '';
          installPhase = "cp -r vendor $out";
          dontFixup = true;
          outputHashMode = "recursive";
          outputHashAlgo = "sha256";
          outputHash = vendorHash;
        }).overrideAttrs
          overrideModAttrs;
    in
    stdenv.mkDerivation (
      {
        inherit
          pname
          version
          src
          subPackages
          checkFlags
          doCheck
          postFixup
          meta
          ;
        nativeBuildInputs = [ go ] ++ nativeBuildInputs;
        env = {
          inherit (go) GOOS GOARCH;
          GOFLAGS = "-mod=vendor -trimpath";
          GOPROXY = "off";
          GOTOOLCHAIN = "local";
        }
        // env;
        configurePhase = ''
          export GOCACHE=${host.goCache} GOPATH=$TMPDIR/go
          packages() {
            local package
            for package in ''${subPackages:-...}; do
              printf './%s ' "$package"
            done
          }
          cp -r ${goModules} vendor
          chmod -R u+w vendor
        '';
        buildPhase = ''
          go install -ldflags ${lib.escapeShellArg (toString (ldflags ++ [ "-buildid=" ]))} $(packages)
        '';
        checkPhase = "go test -vet=off $checkFlags $(packages)";
        # A program for another platform lands in a folder of that platform's name.
        installPhase = ''
          mkdir -p $out/bin $GOPATH/bin
          find $GOPATH/bin -type f -exec cp {} $out/bin/ \;
        '';
        passthru = { inherit goModules vendorHash; };
      }
      // lib.optionalAttrs (allowedReferences != null) { inherit allowedReferences; }
    );

  go = programs "go" [ "go" "gofmt" ] {
    GOOS = "linux";
    GOARCH = if arm then "arm64" else "amd64";
  };
  erlang =
    version:
    runCommand "erlang-${version}" { } ''
      mkdir -p $out/bin
      ln -s ${script "erlang" "echo ${version}"}/bin/erlang $out/bin/epmd
      ln -s epmd $out/bin/erl
    ''
    // {
      pname = "erlang";
      inherit version;
    };
  node = programs "nodejs" [ "node" "npm" "npx" ] { version = host.nodeVersion; };
in
{
  inherit
    lib
    stdenv
    stdenvNoCC
    runCommand
    writeText
    glibc
    go
    ;
  go_1_26 = go;
  buildGo126Module = buildGoModule;

  nodejs_24 = node;
  nodejs-slim_24 = programs "nodejs-slim" [ "node" ] { version = host.nodeVersion; };

  linkFarm =
    name: entries:
    runCommand name { } (
      ''
        mkdir -p $out
        cd $out
      ''
      + lib.concatMapStrings (
        entry:
        let
          inherit (lib.strictly "linkFarm's entry" [ "name" "path" ] entry) name path;
        in
        ''
          mkdir -p "$(dirname ${lib.escapeShellArg name})"
          ln -s ${path} ${lib.escapeShellArg name}
        ''
      ) entries
    );

  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      runtimeEnv ? { },
      excludeShellChecks ? [ ],
      meta ? { },
    }:
    runCommand name
      {
        env.script = ''
          #!${host.bash}
          set -o errexit
          set -o nounset
          set -o pipefail
          ${lib.concatMapStrings (variable: ''
            export ${variable}=${lib.escapeShellArg runtimeEnv.${variable}}
          '') (builtins.attrNames runtimeEnv)}
          export PATH="${lib.makeBinPath runtimeInputs}:$PATH"

          ${text}
        '';
        nativeBuildInputs = [ (tool "shellcheck") ];
        meta = {
          mainProgram = name;
        }
        // meta;
      }
      ''
        mkdir -p $out/bin
        printf %s "$script" > $out/bin/${name}
        chmod +x $out/bin/${name}
        bash -n $out/bin/${name}
        shellcheck ${lib.concatMapStrings (code: "--exclude ${code} ") excludeShellChecks} $out/bin/${name}
      '';

  mkShell =
    {
      name,
      packages ? [ ],
      env ? { },
      shellHook ? "",
    }:
    # What the shell has on its path, besides the folders of stdenv.
    runCommand name { nativeBuildInputs = packages; } "echo ${lib.makeBinPath packages} > $out"
    // {
      inherit packages env shellHook;
    };

  makeWrapper = script "makeWrapper" (builtins.readFile ./make-wrapper.sh);
  nukeReferences = script "nuke-refs" (builtins.readFile ./nuke-refs.sh);

  cacert = runCommand "cacert" { } ''
    mkdir -p $out/etc/ssl/certs
    cp ${host.certificates} $out/etc/ssl/certs/ca-bundle.crt
  '';

  rustPlatform.rustLibSrc = runCommand "rust-lib-src" { } "mkdir $out";
  cargo = tool "cargo";
  rustc = programs "rustc" [ "rustc" "rustdoc" ] { };
  clippy = programs "clippy" [ "cargo-clippy" "clippy-driver" ] { };
  rustfmt = programs "rustfmt" [ "cargo-fmt" "rustfmt" ] { };

  gnumake = tool "make";
  # epmd is Erlang's. RabbitMQ has that only on the path of its own scripts.
  erlang = erlang "28.0";
  rabbitmq-server =
    runCommand "rabbitmq-server" { } ''
      mkdir -p $out/bin $out/plugins/rabbit-4.2.5
      for program in rabbitmq-env rabbitmq-server rabbitmqctl rabbitmq-plugins; do
        ln -s ${script "rabbitmq" "exec ${erlang "27.0"}/bin/erl"}/bin/rabbitmq $out/bin/$program
      done
    ''
    // {
      buildInputs = [
        (erlang "27.0")
        (tool "openssl")
      ];
    };
  regclient = tool "regctl";
  util-linux = programs "util-linux" [ "flock" "renice" "setpriv" "setsid" ] { };
  docker-client = tool "docker";
  nixfmt-tree = tool "nixfmt";
  mongodb-ce = unfree (server "mongodb-ce" "8.2.6" "mongod" "db version v8.2.6");
  process-compose = server "process-compose" "1.94.0" "process-compose" "Version:        v1.94.0";
}
// lib.genAttrs [
  "actionlint"
  "cargo-deny"
  "chromium"
  "curl"
  "deadnix"
  "docker-compose"
  "git"
  "gopls"
  "jq"
  "mongosh"
  "nginx"
  "nixfmt"
  "openssl"
  "patchelf"
  "rust-analyzer"
  "shellcheck"
  "skopeo"
  "statix"
] tool
