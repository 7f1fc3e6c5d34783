"Generated from nix/topology.nix by `make generate`: changes here are lost."
