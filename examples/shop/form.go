package shop

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/oskadev/mailroom/workers"
)

// longestText is the limit of names, addresses and the like, in characters.
const longestText = 200

// form collects what is wrong with an argument, so that the client learns of every fault at once. What the schema of an
// argument says, types and required fields, was checked before the request came here.
type form struct {
	faults []workers.FieldError
}

// require notes the problem of a field unless ok.
func (f *form) require(ok bool, field, problem string) {
	if !ok {
		f.faults = append(f.faults, workers.FieldError{Field: field, Problem: problem})
	}
}

// text returns value without the space around it; it must not be empty or too long.
func (f *form) text(field, value string) string {
	value = strings.TrimSpace(value)
	f.require(value != "", field, "must not be empty")
	f.short(field, value)
	return value
}

// short notes that value is too long, if it is.
func (f *form) short(field, value string) {
	f.require(utf8.RuneCountInString(value) <= longestText, field,
		fmt.Sprintf("must not be longer than %d characters", longestText))
}

// email returns value without the space around it; it must be a bare address, as in oska@example.com.
func (f *form) email(field, value string) string {
	value = f.text(field, value)
	address, err := mail.ParseAddress(value)
	f.require(value == "" || (err == nil && address.Address == value), field, "must be an email address")
	return value
}

// err is nil when nothing was wrong.
func (f *form) err() error {
	if len(f.faults) == 0 {
		return nil
	}
	return workers.BadRequest(f.faults...)
}
