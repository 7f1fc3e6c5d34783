"Generated from nix/ by `make generate`: changes here are lost."
