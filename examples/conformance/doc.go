// Package conformance is the service that "mailroom conformance" checks workers with. Its
// actions answer, fail, wait, block, or give no outcome. docs/reference/conformance.md
// defines them. Open conformance.go first.
package conformance
