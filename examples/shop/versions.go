package shop

import _ "embed"

// Versions is versions.yaml, the versions file of the shop's API.
//
//go:embed versions.yaml
var Versions []byte
