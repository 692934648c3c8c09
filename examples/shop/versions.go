package shop

import _ "embed"

// Versions is the file that says what the versions of the shop's API are composed of: versions.yaml.
//
//go:embed versions.yaml
var Versions []byte
