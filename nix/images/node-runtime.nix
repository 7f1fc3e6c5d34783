# Node.js for an image: the program and the libraries it loads, at the places /bin and /lib.
#
# The package's closure would also bring locales, character set converters and more. This takes only the
# libraries that the loader needs.
pkgs:
pkgs.runCommand "node-runtime"
  {
    nativeBuildInputs = [
      pkgs.glibc.bin # ldd
      pkgs.nukeReferences
      pkgs.patchelf
    ];
    allowedReferences = [ ];
  }
  ''
    node=${pkgs.nodejs-slim_24}/bin/node
    loader=$(patchelf --print-interpreter "$node")
    mkdir -p $out/bin $out/lib
    cp -L "$node" $out/bin/node

    # Lines such as: libuv.so.1 => /nix/store/…/lib/libuv.so.1 (0x…)
    ldd "$node" | while read -r library arrow file _; do
      if [ "$arrow" = "=>" ]; then
        cp -Lf "$file" "$out/lib/$(basename "$library")"
      fi
    done
    cp -Lf "$loader" $out/lib/

    chmod -R u+w $out
    for file in $out/bin/node $out/lib/*; do
      case $file in
        */"$(basename "$loader")") ;; # the loader itself has no search path
        *) patchelf --set-rpath /lib "$file" ;;
      esac
    done
    patchelf --set-interpreter "/lib/$(basename "$loader")" $out/bin/node
    nuke-refs $out/bin/* $out/lib/*
  ''
