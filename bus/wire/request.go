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

// Request is one request as it lies in a mailbox: the flat fields of one
// stream entry.
type Request struct {
	// ID is a UUID, unique to the request: the correlation ID.
	ID string
	// Action is the name of what is asked for, such as UPDATE_USER.
	Action string
	// Args is a JSON array of the positional arguments.
	Args string
	// Reply is the channel that waits for the answer; empty: nobody waits.
	Reply string
	// Deadline is in unix milliseconds of Redis time; 0: none.
	Deadline int64
	// Meta is a JSON object of what travels along, or empty. See Meta.
	Meta string
	// Store is how long the outcome is kept, in milliseconds; 0: not kept, the
	// request is safe to run twice.
	Store int64
	// Lane is the key whose requests run one at a time; empty: none.
	Lane string

	Accepted     int64  // when it was, if it waited in its lane
	print        string // the fingerprint, once it is known
	PrincipalKey string // the key of who asks, for the record
}

// Safe reports whether the request may run twice: no outcome is kept.
func (r *Request) Safe() bool { return r.Store == 0 }

// Expired reports whether the request's deadline has passed at a time in unix
// milliseconds.
func (r *Request) Expired(now int64) bool { return r.Deadline != 0 && now >= r.Deadline }

// ErrVersion marks a request of another protocol version.
var ErrVersion = errors.New("not protocol version " + ProtocolVersion)

// ParseRequest reads the flat fields of a stream entry. Unknown fields are
// ignored. With an error the request holds what could be read, so that it can
// be answered where its ID and reply channel are known.
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
		r.Accepted, _ = strconv.ParseInt(accepted, 10, 64) // it is only told to people
	}
	return r, r.check(version, deadline, store)
}

// check validates what was read, and fills in the numbers.
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

// Fingerprint tells whether two requests with the same ID ask the same: the
// SHA-256 of action and arguments, each behind its length, so that no two
// pairs run together.
func (r *Request) Fingerprint() string {
	if r.print != "" {
		return r.print
	}
	h := sha256.New()
	var size [8]byte
	for _, part := range [...]string{r.Action, r.Args} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:])
		_, _ = h.Write([]byte(part))
	}
	r.print = hex.EncodeToString(h.Sum(nil))
	return r.print
}
