package route

import (
	"fmt"

	"github.com/oskadev/mailroom/internal/schema"
	"github.com/oskadev/mailroom/internal/schemacost"
)

// maxCopies bounds the copies of a value that the schema library holds while it validates,
// in bytes. It keeps an error for each schema below anyOf that the value does not fit, with
// a copy of the value.
const maxCopies = 64 << 20

func costOf(text []byte) (schemacost.Cost, error) {
	var cost schemacost.Cost
	err := cost.Add(text)
	return cost, err
}

// affordable returns an error for a value that would take too much memory or time to
// validate.
func (v *value) affordable(instance any) error {
	const few = 8 // a value of the largest usual body is affordable
	if n := v.cost.Alternatives; n > few && n*sizeOf(instance) > maxCopies {
		return schema.FaultError{Problem: fmt.Sprintf("too large for a schema with %d alternatives", n)}
	}
	if v.cost.Recursive && schema.Work(v.root, instance) > schema.MaxWork {
		return schema.FaultError{Problem: "too deep or too large for a recursive schema"}
	}
	return nil
}

// sizeOf returns the approximate length of a decoded value as JSON.
func sizeOf(value any) int {
	size := 8
	switch v := value.(type) {
	case string:
		size += len(v)
	case []any:
		for _, item := range v {
			size += sizeOf(item)
		}
	case map[string]any:
		for name, item := range v {
			size += len(name) + sizeOf(item)
		}
	}
	return size
}
