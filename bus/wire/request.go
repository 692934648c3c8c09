package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// ProtocolVersion is the value of the field v of every request.
const ProtocolVersion = "1"

// Request is one request in a mailbox: the flat fields of one stream entry.
type Request struct {
	// ID is a UUID, unique to the request: the correlation ID.
	ID string
	// Action is the name of the called action, such as UPDATE_USER.
	Action string
	// Args is a JSON array of the positional arguments.
	Args string
	// Reply is the channel for the reply; empty: no caller waits.
	Reply string
	// Deadline is in unix milliseconds of Redis time; 0: none.
	Deadline int64
	// Meta is the JSON object of the metadata, or empty. See Meta.
	Meta string
	// Store is how long the outcome is kept, in milliseconds; 0: not kept, the
	// request is safe to run twice.
	Store int64
	// Lane is the key whose requests run one at a time; empty: none.
	Lane string

	// Accepted is when the request was accepted, in unix milliseconds of Redis; 0: it
	// did not wait in a lane.
	Accepted int64
	// PrincipalKey is the key of the caller's principal, for the record.
	PrincipalKey string
	// Internal reports that another request makes this one, for the record.
	Internal bool

	fingerprint string // set by the first call of Fingerprint
}

// Safe reports whether the request may run twice: no outcome is kept.
func (r *Request) Safe() bool { return r.Store == 0 }

// Expired reports whether the request's deadline has passed at a time in unix
// milliseconds.
func (r *Request) Expired(now int64) bool { return r.Deadline != 0 && now >= r.Deadline }

// ErrVersion marks a request of another protocol version.
var ErrVersion = errors.New("not protocol version " + ProtocolVersion)

// ParseRequest reads the flat fields of a stream entry. It ignores unknown fields. With
// an error it also returns the readable fields, so that the request can be answered if
// its ID and reply channel are known.
func ParseRequest(fields []string) (Request, error) {
	var r Request
	var version, deadline, store, accepted string
	for i := 0; i+1 < len(fields); i += 2 {
		value := fields[i+1]
		switch fields[i] {
		case "v":
			version = value
		case "id":
			r.ID = value
		case "action":
			r.Action = value
		case "args":
			r.Args = value
		case "reply":
			r.Reply = value
		case "deadline":
			deadline = value
		case "meta":
			r.Meta = value
		case "store":
			store = value
		case "lane":
			r.Lane = value
		case "accepted":
			accepted = value
		}
	}
	if accepted != "" {
		r.Accepted, _ = strconv.ParseInt(accepted, 10, 64) // only for statistics
	}
	return r, r.check(version, deadline, store)
}

// check validates the fields and parses the numbers.
func (r *Request) check(version, deadline, store string) error {
	var errs []error
	if len(r.ID) != 36 || uuid.Validate(r.ID) != nil {
		errs = append(errs, fmt.Errorf("id %.40q is not a UUID", r.ID))
	}
	var err error
	if r.Deadline, err = parseMillis("deadline", deadline); err != nil {
		errs = append(errs, err)
	}
	if r.Store, err = parseMillis("store", store); err != nil {
		errs = append(errs, err)
	}
	if version != ProtocolVersion {
		return errors.Join(append(errs, fmt.Errorf("v %.20q: %w", version, ErrVersion))...)
	}
	if r.Action == "" {
		errs = append(errs, errors.New("action is missing"))
	}
	if !isArray(r.Args) {
		errs = append(errs, errors.New("args is not a JSON array"))
	}
	return errors.Join(errs...)
}

func isArray(args string) bool {
	return args != "" && args[0] == '[' && json.Valid([]byte(args))
}

func parseMillis(name, value string) (int64, error) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %.40q is not a number of milliseconds", name, value)
	}
	return n, nil
}

// Fingerprint returns the SHA-256 of action and arguments, each after its length. Two
// requests with one ID are the same request if their fingerprints are equal.
func (r *Request) Fingerprint() string {
	if r.fingerprint != "" {
		return r.fingerprint
	}
	h := sha256.New()
	var size [8]byte
	for _, part := range [...]string{r.Action, r.Args} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:])
		_, _ = h.Write([]byte(part))
	}
	r.fingerprint = hex.EncodeToString(h.Sum(nil))
	return r.fingerprint
}
