package shop

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/oskadev/mailroom/workers"
)

// userStore stores the users, and their ids in the sorted set "ids".
type userStore struct{ records }

func newUserStore(rdb redis.Cmdable, namespace string) userStore {
	return userStore{records: newRecords(rdb, namespace, "users")}
}

func (s userStore) seed(ctx context.Context) error {
	return s.seedOnce(ctx, func(p redis.Pipeliner) {
		for _, user := range []User{
			{ID: 1, Name: "Oska", Email: "oska@example.com", Status: statusActive},
			{ID: 2, Name: "Robin", Email: "robin@example.com", Status: statusSuspended},
		} {
			p.HSet(ctx, s.record(user.ID), user)
			p.ZAdd(ctx, s.key("ids"), redis.Z{Score: float64(user.ID), Member: user.ID})
			p.Set(ctx, s.key("last_id"), user.ID, 0)
		}
	})
}

func (s userStore) get(ctx context.Context, id int64) (User, error) {
	return workers.Retry(ctx, func() (User, error) {
		return read[User](ctx, s.rdb, s.record(id), errNoUser(id))
	})
}

// list returns up to limit users whose ids are greater than after.
func (s userStore) list(ctx context.Context, after int64, limit int) (UserPage, error) {
	return workers.Retry(ctx, func() (UserPage, error) {
		ids, err := s.rdb.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: s.key("ids"), ByScore: true, Start: fmt.Sprintf("(%d", after), Stop: "+inf",
			Count: int64(limit) + 1, // one more than limit, to know whether there is a next page
		}).Result()
		if err != nil {
			return UserPage{}, err
		}
		var page UserPage
		if len(ids) > limit {
			ids = ids[:limit]
			page.NextCursor = ids[limit-1]
		}
		page.Users, err = readAll[User](ctx, s.records, ids)
		return page, err
	})
}

func (s userStore) count(ctx context.Context) (UserCount, error) {
	return workers.Retry(ctx, func() (UserCount, error) {
		n, err := s.rdb.ZCard(ctx, s.key("ids")).Result()
		return UserCount{Count: n}, err
	})
}

// create gives the user an id and stores the user.
func (s userStore) create(ctx context.Context, user User) (User, error) {
	return workers.Retry(ctx, func() (User, error) {
		id, err := s.insert(ctx, "ids", "name", user.Name, "email", user.Email, "status", user.Status)
		user.ID = id
		return user, err
	})
}

// change sets fields, which are names and values in turn, and returns the changed user.
func (s userStore) change(ctx context.Context, id int64, fields ...any) (User, error) {
	return workers.Retry(ctx, func() (User, error) {
		record, memory := s.record(id), s.memory(ctx)
		err := s.transact(ctx, func(tx *redis.Tx) error {
			exists, err := tx.Exists(ctx, record).Result()
			if err != nil || exists == 0 {
				return err
			}
			if done, err := tx.Exists(ctx, memory).Result(); err != nil || done == 1 {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.HSet(ctx, record, fields...)
				p.Copy(ctx, record, memory, 0, false) // the answer, in case the request is delivered again
				p.Expire(ctx, memory, rememberFor)
				return nil
			})
			return err
		}, record, memory)
		if err != nil {
			return User{}, err
		}
		return read[User](ctx, s.rdb, memory, errNoUser(id))
	})
}

func (s userStore) suspend(ctx context.Context, id int64) (User, error) {
	return s.change(ctx, id, "status", statusSuspended)
}

func (s userStore) delete(ctx context.Context, id int64) (Deleted, error) {
	return workers.Retry(ctx, func() (Deleted, error) {
		record, memory := s.record(id), s.memory(ctx)
		err := s.transact(ctx, func(tx *redis.Tx) error {
			if done, err := tx.Exists(ctx, memory).Result(); err != nil || done == 1 {
				return err
			}
			exists, err := tx.Exists(ctx, record).Result()
			if err == nil && exists == 0 {
				err = errNoUser(id)
			}
			if err != nil {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Del(ctx, record)
				p.ZRem(ctx, s.key("ids"), id)
				p.Set(ctx, memory, 1, rememberFor)
				return nil
			})
			return err
		}, record, memory)
		return Deleted{ID: id, Deleted: err == nil}, err
	})
}

func errNoUser(id int64) error {
	return workers.NotFound(fmt.Sprintf("user %d does not exist", id))
}
