package keys

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/bus"
)

// Store keeps the API keys of a namespace, in one hash.
type Store struct {
	rdb  redis.UniversalClient
	name string
	now  func() time.Time
}

// NewStore is the store on a connection to the bus. It takes the time from Redis,
// as gateways do.
func NewStore(conn *bus.Conn) *Store {
	return &Store{rdb: conn.Redis(), name: conn.Keys.APIKeys(), now: conn.Clock.Now}
}

// ErrUnknown says that there is no key of that ID.
var ErrUnknown = errors.New("no such key")

// Create makes a key by its name, scopes and tenant, which ends after so long; 0:
// never. It returns the key's text, of which the secret is kept nowhere.
func (s *Store) Create(ctx context.Context, k Key, lasts time.Duration) (string, Key, error) {
	if err := k.Check(); err != nil {
		return "", Key{}, err
	}
	if lasts < 0 {
		return "", Key{}, fmt.Errorf("a key cannot expire %v ago", -lasts)
	}
	k.ID, k.Created, k.Expires = "", s.now().UTC().Truncate(time.Second), time.Time{}
	if lasts > 0 {
		k.Expires = s.now().UTC().Add(lasts).Truncate(time.Millisecond)
	}
	slices.Sort(k.Scopes)
	k.Scopes = slices.Compact(k.Scopes)
	id, secret := random(10), random(20)
	sum := hash(secret)
	value, err := json.Marshal(kept{Key: k, Hash: hex.EncodeToString(sum[:])})
	if err != nil {
		return "", Key{}, fmt.Errorf("write the key %s: %w", id, err)
	}
	fresh, err := s.rdb.HSetNX(ctx, s.name, id, value).Result()
	if err == nil && !fresh {
		err = errors.New("there is one of the same ID")
	}
	if err != nil {
		return "", Key{}, fmt.Errorf("store the key %s: %w", id, err)
	}
	k.ID = id
	return Prefix + id + "_" + secret, k, nil
}

// List gives all keys, oldest first. One that cannot be read is there by its ID.
func (s *Store) List(ctx context.Context) ([]Key, error) {
	values, err := s.rdb.HGetAll(ctx, s.name).Result()
	if err != nil {
		return nil, fmt.Errorf("list the keys: %w", err)
	}
	all := make([]Key, 0, len(values))
	for id, value := range values {
		var k kept
		if err := json.Unmarshal([]byte(value), &k); err != nil {
			k = kept{Key: Key{Name: "(unreadable)"}}
		}
		k.ID = id
		all = append(all, k.Key)
	}
	slices.SortFunc(all, func(a, b Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// Revoke ends a key, within a second at every gateway. ErrUnknown: there is none.
func (s *Store) Revoke(ctx context.Context, id string) error {
	removed, err := s.rdb.HDel(ctx, s.name, id).Result()
	if err != nil {
		return fmt.Errorf("revoke the key %s: %w", id, err)
	}
	if removed == 0 {
		return fmt.Errorf("revoke the key %s: %w", id, ErrUnknown)
	}
	return nil
}
