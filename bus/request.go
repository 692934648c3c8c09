package bus

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"
	"strconv"
	"strings"

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

	accepted  int64  // when it was, if it waited in its lane
	print     string // the fingerprint, once it is known
	principal string // the key of who asks, for the record
}

// Meta is what travels with a request beside its arguments.
type Meta struct {
	// RequestID is the caller's own X-Request-Id.
	RequestID string `json:"request_id,omitempty"`
	// TraceParent is the W3C trace context (https://www.w3.org/TR/trace-context/).
	TraceParent string `json:"traceparent,omitempty"`
	// Caller is the asker's identifier.
	Caller string `json:"caller,omitempty"`
	// Version is the version of the API that was called, as in v2; empty: none.
	Version string `json:"version,omitempty"`
	// Plan is the hash of what a composition runs.
	Plan string `json:"plan,omitempty"`
	// Began is when a composition was first asked for, in unix milliseconds of Redis; 0:
	// not known.
	Began int64 `json:"began,omitempty"`
	// Depth is how many services have asked each other to get here.
	Depth int `json:"depth,omitempty"`
	// Lanes are those held by the requests that wait for this one. See LaneName.
	Lanes []string `json:"lanes,omitempty"`
	// Principal is who called the API; nil: nobody had to say.
	Principal *Principal `json:"principal,omitempty"`
}

// ParseMeta reads the meta field; what it cannot read it leaves empty, since
// meta never decides whether a request runs.
func (r *Request) ParseMeta() Meta {
	var m Meta
	if r.Meta != "" {
		if err := json.Unmarshal([]byte(r.Meta), &m); err != nil {
			return Meta{}
		}
	}
	return m
}

// Safe reports whether the request may run twice: no outcome is kept.
func (r *Request) Safe() bool { return r.Store == 0 }

// Expired reports whether the request's deadline has passed at a time in unix
// milliseconds.
func (r *Request) Expired(now int64) bool { return r.Deadline != 0 && now >= r.Deadline }

func millis(ms int64) string {
	if ms == 0 {
		return ""
	}
	return strconv.FormatInt(ms, 10)
}

// errForeignVersion marks a request of another protocol version.
var errForeignVersion = errors.New("not protocol version " + ProtocolVersion)

// parseRequest reads the flat fields of a stream entry. Unknown fields are
// ignored. With an error the request holds what could be read, so that it can
// be answered where its ID and reply channel are known.
func parseRequest(fields []string) (Request, error) {
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
		r.accepted, _ = strconv.ParseInt(accepted, 10, 64) // it is only told to people
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
		return errors.Join(append(errs, fmt.Errorf("v %.20q: %w", version, errForeignVersion))...)
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

// fingerprint tells whether two requests with the same ID ask the same: the
// SHA-256 of action and arguments, each behind its length, so that no two
// pairs run together.
func (r *Request) fingerprint() string {
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

// DerivedID is the one ID of all requests with the same parts: a UUIDv8
// (https://www.rfc-editor.org/rfc/rfc9562#section-5.8) of the SHA-256 of them,
// each behind its length. It is as hard to guess as they are.
func DerivedID(parts ...string) uuid.UUID { return hashedID(sha256.New(), parts...) }

// KeyedID is DerivedID by the HMAC-SHA-256 under a secret: who knows the parts, or
// guesses them, does not know the ID by that.
func KeyedID(secret []byte, parts ...string) uuid.UUID {
	return hashedID(hmac.New(sha256.New, secret), parts...)
}

func hashedID(h hash.Hash, parts ...string) uuid.UUID {
	var size [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = h.Write(size[:])
		_, _ = h.Write([]byte(part))
	}
	var id uuid.UUID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// entryTime is the Redis time at which a stream entry was added.
func entryTime(entry string) int64 {
	ms, _, _ := cutEntry(entry)
	return int64(ms) //nolint:gosec // milliseconds since 1970
}

// behind is the first entry ID after another. XPENDING takes no "(" for it on
// every server.
func behind(entry string) string {
	ms, seq, ok := cutEntry(entry)
	switch {
	case !ok:
		return entry
	case seq == math.MaxUint64:
		ms, seq = ms+1, 0
	default:
		seq++
	}
	return strconv.FormatUint(ms, 10) + "-" + strconv.FormatUint(seq, 10)
}

// cutEntry reads an entry ID, <milliseconds>-<sequence>.
func cutEntry(entry string) (ms, seq uint64, ok bool) {
	before, after, found := strings.Cut(entry, "-")
	ms, errMillis := strconv.ParseUint(before, 10, 64)
	seq, errSeq := strconv.ParseUint(after, 10, 64)
	if !found || errMillis != nil || errSeq != nil {
		return 0, 0, false
	}
	return ms, seq, true
}
