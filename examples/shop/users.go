package shop

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/oskadev/mailroom/workers"
)

// Users returns the service of the customers.
func (s *Shop) Users() *workers.Service {
	users := workers.NewService("users", workers.WithVersion(version))
	h := userHandlers{newUserStore(s.rdb, s.namespace)}
	write := workers.Scope("users:write")

	workers.Handle1(users, "GET_USER", h.store.get,
		workers.Route("GET /users/:id"), workers.Cache(30*time.Second, "user:{0}"), workers.Summary("Returns a user"))
	workers.Handle1(users, "LIST_USERS", h.list,
		workers.Route("GET /users"), workers.Cache(5*time.Second, "users"), workers.Summary("Lists users by id, in pages"))
	workers.Handle0(users, "COUNT_USERS", h.store.count,
		workers.Route("GET /users/count"), workers.Summary("Returns the number of users"))
	workers.Handle1(users, "CREATE_USER", h.create,
		workers.Route("POST /users"), write, workers.Invalidates("users"), workers.Summary("Creates a user"))
	workers.Handle2(users, "UPDATE_USER", h.update,
		workers.Route("PUT /users/:id", "PATCH /users/:id"), write, workers.Invalidates("user:{0}", "users"), workers.Summary("Changes the given fields of a user"),
		workers.Example(1, map[string]string{"name": "Ada"}))
	workers.Handle1(users, "DELETE_USER", h.store.delete,
		workers.Route("DELETE /users/:id"), write, workers.Invalidates("user:{0}", "users"), workers.Summary("Deletes a user"))
	workers.Handle1(users, "SUSPEND_USER", h.store.suspend,
		workers.Route("POST /users/:id/suspend"), write, workers.Invalidates("user:{0}", "users"), workers.Summary("Suspends a user, who may then not buy"))
	workers.Handle1(users, "CHECK_PURCHASABLE", h.checkPurchasable,
		workers.Route("GET /users/:id/purchasable"), workers.Summary("Checks whether a user may buy; 403 if not"))
	return users
}

// userHandlers implements the actions that do more than call the store.
type userHandlers struct {
	store userStore
}

func (h userHandlers) list(ctx context.Context, query UserQuery) (UserPage, error) {
	limit, after := 20, int64(0)
	var f form
	if query.Limit != nil {
		limit = *query.Limit
		f.require(1 <= limit && limit <= 100, "limit", "must be from 1 to 100")
	}
	if query.Cursor != "" {
		var err error
		after, err = strconv.ParseInt(query.Cursor, 10, 64)
		f.require(err == nil, "cursor", "must be the next_cursor of another page")
	}
	if err := f.err(); err != nil {
		return UserPage{}, err
	}
	return h.store.list(ctx, after, limit)
}

func (h userHandlers) create(ctx context.Context, in NewUser) (User, error) {
	var f form
	user := User{Name: f.text("name", in.Name), Email: f.email("email", in.Email), Status: statusActive}
	if err := f.err(); err != nil {
		return User{}, err
	}
	user, err := h.store.create(ctx, user)
	if err != nil {
		return User{}, err
	}
	workers.SetStatus(ctx, http.StatusCreated)
	workers.SetLocation(ctx, fmt.Sprintf("/users/%d", user.ID))
	return user, nil
}

func (h userHandlers) update(ctx context.Context, id int64, patch UserPatch) (User, error) {
	var f form
	var fields []any
	if patch.Name != nil {
		fields = append(fields, "name", f.text("name", *patch.Name))
	}
	if patch.Email != nil {
		fields = append(fields, "email", f.email("email", *patch.Email))
	}
	f.require(len(fields) > 0, "name", "name or email must be given")
	if err := f.err(); err != nil {
		return User{}, err
	}
	return h.store.change(ctx, id, fields...)
}

func (h userHandlers) checkPurchasable(ctx context.Context, id int64) (Purchasable, error) {
	user, err := h.store.get(ctx, id)
	if err != nil {
		return Purchasable{}, err
	}
	if user.Status == statusSuspended {
		return Purchasable{}, workers.Fail("USER_SUSPENDED", http.StatusForbidden,
			fmt.Sprintf("user %d is suspended and may not buy", id))
	}
	return Purchasable{ID: id, Purchasable: true}, nil
}
