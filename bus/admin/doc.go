// Package admin is for operators: dead letters (dead.go), numbers of a mailbox
// (stats.go), lanes (lanes.go), and users of Redis with the rights of one role
// (acl.go).
package admin
