package registry

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/oskadev/mailroom/bus/wire"
	"github.com/oskadev/mailroom/internal/resp"
)

const (
	// scanPage is how many names one SSCAN asks for.
	scanPage = 1000
	// scanFirst and scanEach are how many names one read of the registry looks through: until
	// it has seen all once, and later, when workers announce new services anyway.
	scanFirst = 20_000
	scanEach  = 2_000
	// scanTries is how often one read looks elsewhere, because a name is far too long.
	scanTries = 4
)

// scan reads the set of known names, a part at a time if it is large: any service may add
// names.
type scan struct {
	cursor uint64
	passed bool            // a pass has ended
	whole  bool            // the pass has read all names so far
	unseen map[string]bool // known services that the pass has not found yet
}

// next reads on. It returns the names of services, and, at the end of a pass, the known
// services whose names are gone.
func (s *scan) next(ctx context.Context, r *reader, known Snapshot) (names, gone []string, err error) {
	if s.cursor == 0 {
		s.whole, s.unseen = true, make(map[string]bool, len(known))
		for name := range known {
			s.unseen[name] = true
		}
	}
	each := scanFirst
	if s.passed {
		each = scanEach
	}
	for read, tries, page := 0, 0, scanPage; read < each; {
		found, err := s.page(ctx, r, page)
		if errors.Is(err, resp.ErrTooLong) {
			// Some name is far too long: look elsewhere. Redis accepts any cursor.
			s.cursor, s.whole, page = 1+uint64(rand.Uint32()), false, 1 //nolint:gosec // any one will do
			if tries++; tries > scanTries {
				break
			}
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		for _, name := range found {
			delete(s.unseen, name)
			if len(names) < each && wire.CheckServiceName(name) == nil {
				names = append(names, name)
			}
		}
		if read += max(1, len(found)); s.cursor == 0 {
			s.passed = true
			break
		}
	}
	if s.cursor == 0 && s.whole {
		for name := range s.unseen {
			gone = append(gone, name)
		}
	}
	return names, gone, nil
}

// maxBare is the number of services of which nothing but the name is known that are read
// like others. If there are more, most were never services.
const maxBare = 100

// choose returns the names of the services to read. If there are many of which nothing but
// the name is known, it leaves out those that still have no workers.
func choose(ctx context.Context, r *reader, names []string, known Snapshot) (chosen, bare []string, err error) {
	for _, name := range names {
		if known[name].bare() {
			bare = append(bare, name)
		} else {
			chosen = append(chosen, name)
		}
	}
	if len(bare) <= maxBare {
		return names, nil, nil
	}
	var idle []string
	for page := range slices.Chunk(bare, scanPage) {
		counts, err := r.count(ctx, page)
		if err != nil {
			return nil, nil, err
		}
		for i, name := range page {
			if counts[i] > 0 {
				chosen = append(chosen, name)
			} else {
				idle = append(idle, name)
			}
		}
	}
	return chosen, idle, nil
}

// bare reports whether nothing but the name of the service is known.
func (s *Service) bare() bool {
	return s == nil || s.Manifest == nil && len(s.Workers) == 0 && s.Fault == ""
}

// page reads one page of names and moves the cursor.
func (s *scan) page(ctx context.Context, r *reader, count int) ([]string, error) {
	key := r.conn.Keys.Services()
	answers, err := r.exchange(ctx, key, []string{"sscan", key, strconv.FormatUint(s.cursor, 10), "count", strconv.Itoa(count)})
	if err != nil {
		return nil, err
	}
	answer := resp.NewReader(answers[0])
	if _, err := answer.Array(); err != nil {
		return nil, r.conn.Explain(err, "sscan", key)
	}
	cursor, err := answer.Bulk()
	if err != nil {
		return nil, err
	}
	if s.cursor, err = strconv.ParseUint(cursor, 10, 64); err != nil {
		return nil, resp.ErrProtocol
	}
	return answer.Strings(nil)
}
