// Package admin serves operators: dead letters (dead.go), statistics of a mailbox
// (stats.go), lanes (lanes.go), and users of Redis with the rights of one role (acl.go).
// No request passes through it. Open dead.go first.
package admin
