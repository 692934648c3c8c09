// Package report says what a run of the checks has found: as a table, as JUnit XML and as a
// certificate. Open report.go first.
//
//	report.go  table, JUnit XML, certificate, and the list of known failures
//	hash.go    the hash of the protocol in a certificate
package report
