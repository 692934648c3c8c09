package wire

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// DerivedID returns the ID of all requests with equal parts: a UUIDv8
// (https://www.rfc-editor.org/rfc/rfc9562#section-5.8) of the SHA-256 of the parts, each
// after its length. It is as hard to guess as the parts.
func DerivedID(parts ...string) uuid.UUID { return hashedID(sha256.New(), parts...) }

// KeyedID is DerivedID with the HMAC-SHA-256 of a secret: the parts alone do not give
// the ID.
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

// EntryTime returns the Redis time at which a stream entry was added, in unix
// milliseconds.
func EntryTime(entry string) int64 {
	ms, _, _ := cutEntry(entry)
	return int64(ms) //nolint:gosec // milliseconds since 1970
}

// CompareEntries compares two entry IDs by their order in the stream. One that cannot be
// read comes before all others.
func CompareEntries(a, b string) int {
	ms1, seq1, _ := cutEntry(a)
	ms2, seq2, _ := cutEntry(b)
	return cmp.Or(cmp.Compare(ms1, ms2), cmp.Compare(seq1, seq2))
}

// NextEntryID returns the smallest entry ID after another: XPENDING does not accept
// an exclusive "(" on every server.
func NextEntryID(entry string) string {
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

// IdempotentID returns the ID of the request of an action under an Idempotency-Key of a
// principal, by the secret of the gateways.
func IdempotentID(secret []byte, principal, service, action, key string) uuid.UUID {
	return KeyedID(secret, "idempotency", principal, service, action, key)
}

// BackgroundLane returns the lane of a principal's requests without a deadline, of which width
// may be in the mailbox at once (enqueue.lua).
func BackgroundLane(principal string, width int) string {
	sum := sha256.Sum256([]byte(principal))
	return "~" + hex.EncodeToString(sum[:8]) + "*" + strconv.Itoa(width)
}

// LaneName returns the name of a lane among the lanes of all services.
func LaneName(service, lane string) string { return service + "/" + lane }
