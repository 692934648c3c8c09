package cache

import (
	"fmt"

	"github.com/oskadev/mailroom/internal/template"
)

// Tag fills arguments, a JSON array, into the template of a tag: {0} becomes the
// first argument. A string is used as it is, any other value as compact JSON. Bytes
// other than letters, digits and "-_.~" are percent-encoded. A missing argument is
// an error.
func Tag(tag, args string) (string, error) {
	filled, err := template.Fill(tag, args)
	if err != nil {
		return "", fmt.Errorf("tag %w", err)
	}
	return filled, nil
}

// CheckTag reports what is wrong with a tag, or with a template for this number of
// arguments.
func CheckTag(tag string, arguments int) error {
	if err := template.Check(tag, arguments); err != nil {
		return fmt.Errorf("tag %w", err)
	}
	return nil
}
