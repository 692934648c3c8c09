package auth

import "fmt"

// Mode says whether callers must authenticate.
type Mode string

// The modes.
const (
	None     Mode = "none"     // credentials are ignored, scopes are not checked
	Optional Mode = "optional" // a request without credentials is anonymous
	Required Mode = "required" // a request without credentials is refused
)

// UnmarshalText parses a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	*m = Mode(text)
	return m.Check()
}

// Check returns an error if the mode is unknown.
func (m Mode) Check() error {
	switch m {
	case None, Optional, Required:
		return nil
	default:
		return fmt.Errorf("auth %.20q: want %s, %s or %s", string(m), None, Optional, Required)
	}
}
