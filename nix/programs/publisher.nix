# stock-publisher, the Go publisher: one static program without any reference into the store.
{
  pkgs,
  about,
  sources,
}:
let
  sums = builtins.hashFile "sha256" ../../vendor-apps/stock-publisher/go.sum;

  package = pkgs.buildGo126Module {
    pname = "stock-publisher";
    inherit (about) version;
    src = sources.publisher;
    vendorHash = "sha256-QjNKyPbl7WfGD9FO/4oeBFvj8UqMP2Zw/77AWr75XQ4=";
    # A changed go.sum changes the name. So the modules are fetched anew, and an old hash fails.
    overrideModAttrs = _: { name = "stock-publisher-go-modules-${builtins.substring 0 8 sums}"; };

    env.CGO_ENABLED = "0";
    ldflags = [
      "-s"
      "-w"
      "-X main.version=${about.version}"
    ];
    subPackages = [ "." ];
    doCheck = false; # the tests are a check of their own

    nativeBuildInputs = [ pkgs.nukeReferences ];
    # nixpkgs patches paths of time zones and media types into Go's library. Nothing here uses them.
    postFixup = "nuke-refs $out/bin/*";
    allowedReferences = [ ];

    meta = {
      description = "Publishes synthetic stock trades to RabbitMQ";
      license = pkgs.lib.licenses.mit;
      mainProgram = "stock-publisher";
    };
  };
in
{
  inherit package;

  # Only the tests that need no broker; those at the top do (`make test`).
  tests = package.overrideAttrs {
    name = "stock-publisher-tests";
    src = sources.publisherWithReadme;
    subPackages = [ "internal/..." ];
    doCheck = true;
    postFixup = "";
  };
}
