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
	rdb  bus.Redis
	name string
	now  func() time.Time
}

// NewStore returns the store on a connection to the bus. It uses the Redis clock.
func NewStore(conn *bus.Conn) *Store {
	return &Store{rdb: conn.Redis(), name: conn.Keys.APIKeys(), now: conn.Clock.Now}
}

// ErrUnknown reports that no key has this ID.
var ErrUnknown = errors.New("no such key")

// Create stores a key with the name, scopes and tenant of k. The key expires after ttl;
// 0: never. It returns the text of the key; the secret in it is stored nowhere.
func (s *Store) Create(ctx context.Context, k Key, ttl time.Duration) (string, Key, error) {
	if err := k.Check(); err != nil {
		return "", Key{}, err
	}
	if ttl < 0 {
		return "", Key{}, fmt.Errorf("a key cannot expire %v ago", -ttl)
	}
	k.ID, k.Created, k.Expires = "", s.now().UTC().Truncate(time.Second), time.Time{}
	if ttl > 0 {
		k.Expires = s.now().UTC().Add(ttl).Truncate(time.Millisecond)
	}
	slices.Sort(k.Scopes)
	k.Scopes = slices.Compact(k.Scopes)
	id, secret := random(10), random(20)
	sum := hash(secret)
	value, err := json.Marshal(stored{Key: k, Hash: hex.EncodeToString(sum[:])})
	if err != nil {
		return "", Key{}, fmt.Errorf("write the key %s: %w", id, err)
	}
	fresh, err := s.rdb.HSetNX(ctx, s.name, id, value).Result()
	if err == nil && !fresh {
		err = errors.New("a key with the same ID exists")
	}
	if err != nil {
		return "", Key{}, fmt.Errorf("store the key %s: %w", id, err)
	}
	k.ID = id
	return Prefix + id + "_" + secret, k, nil
}

// Get returns the key with an ID. Errors: ErrUnknown, also for one that has expired.
func (s *Store) Get(ctx context.Context, id string) (Key, error) {
	value, err := s.rdb.HGet(ctx, s.name, id).Bytes()
	if errors.Is(err, redis.Nil) {
		return Key{}, fmt.Errorf("read the key %s: %w", id, ErrUnknown)
	}
	if err != nil {
		return Key{}, fmt.Errorf("read the key %s: %w", id, err)
	}
	var k stored
	if err := json.Unmarshal(value, &k); err != nil {
		return Key{}, fmt.Errorf("read the key %s: %w", id, err)
	}
	if k.ID = id; !k.Expires.IsZero() && !s.now().Before(k.Expires) {
		return Key{}, fmt.Errorf("read the key %s: %w", id, ErrUnknown)
	}
	return k.Key, nil
}

// List returns all keys, oldest first. One that cannot be read has its ID and the name
// "(unreadable)".
func (s *Store) List(ctx context.Context) ([]Key, error) {
	values, err := s.rdb.HGetAll(ctx, s.name).Result()
	if err != nil {
		return nil, fmt.Errorf("list the keys: %w", err)
	}
	all := make([]Key, 0, len(values))
	for id, value := range values {
		var k stored
		if err := json.Unmarshal([]byte(value), &k); err != nil {
			k = stored{Key: Key{Name: "(unreadable)"}}
		}
		k.ID = id
		all = append(all, k.Key)
	}
	slices.SortFunc(all, func(a, b Key) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

// Revoke revokes a key, within a second at every gateway. It returns ErrUnknown where no
// key has the ID.
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
