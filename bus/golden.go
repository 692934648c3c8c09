package bus

import "embed"

// Golden holds the golden files of the protocol, in testdata. They bind every language.
//
//go:embed testdata/*.golden
var Golden embed.FS
