// Package console serves the console of operators: what the services do now, what happened
// to a request, and the actions on both. Pages are rendered here and need no script; a
// small script keeps them up to date and adds keys. Everything that comes from services and
// callers is text in a template, never markup.
package console
