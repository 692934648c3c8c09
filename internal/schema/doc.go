// Package schema checks the values of arguments by the plain schemas that most actions have, many times faster than a
// whole JSON schema library does.
//
// Gateway and worker both check every argument: the one to answer 400 before anything is sent, the other because not
// every caller is the gateway. What a manifest says beyond the plain is the library's to judge, and so is what does not
// fit: it says why.
package schema
