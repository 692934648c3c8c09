package shop

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/oskadev/mailroom/workers"
)

// maxText limits names, addresses and similar texts, in characters.
const maxText = 200

// form collects all faults of an argument, for one answer. Types and required fields need no check here: the schema of the
// argument has been checked before.
type form struct {
	faults []workers.FieldError
}

// require adds the problem of a field, unless ok.
func (f *form) require(ok bool, field, problem string) {
	if !ok {
		f.faults = append(f.faults, workers.FieldError{Field: field, Problem: problem})
	}
}

// text returns value without surrounding space, and requires that it is neither empty nor too long.
func (f *form) text(field, value string) string {
	value = strings.TrimSpace(value)
	f.require(value != "", field, "must not be empty")
	f.short(field, value)
	return value
}

// short requires that value is not too long.
func (f *form) short(field, value string) {
	f.require(utf8.RuneCountInString(value) <= maxText, field,
		fmt.Sprintf("must not be longer than %d characters", maxText))
}

// email returns value without surrounding space, and requires an address such as oska@example.com.
func (f *form) email(field, value string) string {
	value = f.text(field, value)
	address, err := mail.ParseAddress(value)
	f.require(value == "" || (err == nil && address.Address == value), field, "must be an email address")
	return value
}

// err returns 400 BAD_REQUEST with all faults; nil if there are none.
func (f *form) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return workers.BadRequest(f.faults...)
}
