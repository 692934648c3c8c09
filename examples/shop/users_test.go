package shop

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func usersOf(rdb *redis.Client) userHandlers {
	return userHandlers{newUserStore(rdb, "test")}
}

func TestCreateUser(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))

	created, err := users.create(request(t, "r1"), NewUser{Name: " Ada ", Email: "ada@example.com"})
	require.NoError(t, err)
	require.Equal(t, User{ID: 3, Name: "Ada", Email: "ada@example.com", Status: "active"}, created)

	got, err := users.store.get(request(t, "r2"), 3)
	require.NoError(t, err)
	require.Equal(t, created, got)
}

func TestCreateUserOnceForEachRequest(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))
	ada := NewUser{Name: "Ada", Email: "ada@example.com"}

	first, err := users.create(request(t, "r1"), ada)
	require.NoError(t, err)
	_, err = users.update(request(t, "r2"), first.ID, UserPatch{Name: new("Grace")})
	require.NoError(t, err)
	again, err := users.create(request(t, "r1"), ada)
	require.NoError(t, err)
	require.Equal(t, first, again)

	other, err := users.create(request(t, "r3"), ada)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, other.ID)
	count, err := users.store.count(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(4), count.Count)
}

func TestCreateUserNamesEveryFault(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))
	long := strings.Repeat("é", 201)
	for name, test := range map[string]struct {
		in     NewUser
		faults []string
	}{
		"both empty":      {NewUser{}, []string{"name", "email"}},
		"only space":      {NewUser{Name: " \t", Email: "ada@example.com"}, []string{"name"}},
		"name too long":   {NewUser{Name: long, Email: "ada@example.com"}, []string{"name"}},
		"no address":      {NewUser{Name: "Ada", Email: "ada"}, []string{"email"}},
		"two at signs":    {NewUser{Name: "Ada", Email: "ada@home@example.com"}, []string{"email"}},
		"display name":    {NewUser{Name: "Ada", Email: "Ada <ada@example.com>"}, []string{"email"}},
		"all that can be": {NewUser{Name: long, Email: "a,b"}, []string{"name", "email"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := users.create(request(t, name), test.in)
			requireFaults(t, err, test.faults...)
		})
	}
}

func TestLongestNameIsCountedInCharacters(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("é", 200)
	created, err := usersOf(seeded(t)).create(request(t, "r1"), NewUser{Name: name, Email: "ada@example.com"})
	require.NoError(t, err)
	require.Equal(t, name, created.Name)
}

func TestListUsersPageByPage(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))
	for i := 3; i <= 25; i++ {
		_, err := users.store.create(request(t, strconv.Itoa(i)), User{Name: "Ada"})
		require.NoError(t, err)
	}
	_, err := users.store.delete(request(t, "r1"), 2)
	require.NoError(t, err)

	first, err := users.list(request(t, "r2"), UserQuery{})
	require.NoError(t, err)
	require.Len(t, first.Users, 20)
	require.Equal(t, int64(21), first.Users[19].ID)
	require.Equal(t, "21", first.NextCursor)

	second, err := users.list(request(t, "r3"), UserQuery{Limit: new(4), Cursor: first.NextCursor})
	require.NoError(t, err)
	require.Equal(t, int64(22), second.Users[0].ID)
	require.Len(t, second.Users, 4)
	require.Empty(t, second.NextCursor, "the last page names no next one")

	beyond, err := users.list(request(t, "r4"), UserQuery{Cursor: "25"})
	require.NoError(t, err)
	require.Equal(t, UserPage{Users: []User{}}, beyond)
}

func TestListUsersRefusesInvalidPages(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))
	for _, limit := range []int{-1, 0, 101} {
		_, err := users.list(request(t, "r1"), UserQuery{Limit: new(limit)})
		requireFaults(t, err, "limit")
	}
	_, err := users.list(request(t, "r1"), UserQuery{Limit: new(0), Cursor: "last"})
	requireFaults(t, err, "limit", "cursor")
	_, err = users.list(request(t, "r1"), UserQuery{Limit: new(100)})
	require.NoError(t, err)
}

func TestUpdateUserChangesOnlyTheGivenFields(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))

	renamed, err := users.update(request(t, "r1"), 1, UserPatch{Name: new(" Oskar ")})
	require.NoError(t, err)
	require.Equal(t, User{ID: 1, Name: "Oskar", Email: "oska@example.com", Status: "active"}, renamed)

	moved, err := users.update(request(t, "r2"), 2, UserPatch{Email: new("r@example.com")})
	require.NoError(t, err)
	require.Equal(t, User{ID: 2, Name: "Robin", Email: "r@example.com", Status: "suspended"}, moved)

	_, err = users.update(request(t, "r3"), 9, UserPatch{Name: new("Nobody")})
	requireRefused(t, err, "NOT_FOUND", 404)
	_, err = users.update(request(t, "r4"), 1, UserPatch{})
	requireFaults(t, err, "name")
	_, err = users.update(request(t, "r5"), 1, UserPatch{Name: new(""), Email: new("nowhere")})
	requireFaults(t, err, "name", "email")
}

func TestUpdateUserOnceForEachRequest(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))

	first, err := users.update(request(t, "r1"), 1, UserPatch{Name: new("Ada")})
	require.NoError(t, err)
	later, err := users.update(request(t, "r2"), 1, UserPatch{Name: new("Grace")})
	require.NoError(t, err)
	again, err := users.update(request(t, "r1"), 1, UserPatch{Name: new("Ada")})
	require.NoError(t, err)
	require.Equal(t, first, again)

	got, err := users.store.get(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, later, got, "a late delivery must not undo what came after the first")
}

func TestSuspendUser(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))
	for id, delivered := range map[int64]string{1: "r1", 2: "r2"} { // 2 is suspended already
		suspended, err := users.store.suspend(request(t, delivered), id)
		require.NoError(t, err)
		require.Equal(t, id, suspended.ID)
		require.Equal(t, "suspended", suspended.Status)
	}
	_, err := users.store.suspend(request(t, "r3"), 9)
	requireRefused(t, err, "NOT_FOUND", 404)
}

func TestCheckPurchasable(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))

	may, err := users.checkPurchasable(request(t, "r1"), 1)
	require.NoError(t, err)
	require.Equal(t, Purchasable{ID: 1, Purchasable: true}, may)
	_, err = users.checkPurchasable(request(t, "r2"), 2)
	requireRefused(t, err, "USER_SUSPENDED", 403)
	_, err = users.checkPurchasable(request(t, "r3"), 9)
	requireRefused(t, err, "NOT_FOUND", 404)
	require.ErrorContains(t, err, "user 9 does not exist")
}

func TestDeleteUserOnceForEachRequest(t *testing.T) {
	t.Parallel()
	users := usersOf(seeded(t))

	for range 2 {
		deleted, err := users.store.delete(request(t, "r1"), 1)
		require.NoError(t, err)
		require.Equal(t, Deleted{ID: 1, Deleted: true}, deleted)
	}
	_, err := users.store.delete(request(t, "r2"), 1)
	requireRefused(t, err, "NOT_FOUND", 404)
	_, err = users.store.get(t.Context(), 1)
	requireRefused(t, err, "NOT_FOUND", 404)
	count, err := users.store.count(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), count.Count)
}

func TestRequestsAreForgottenAfterTwoDays(t *testing.T) {
	t.Parallel()
	rdb := seeded(t)
	users := usersOf(rdb)
	_, err := users.store.create(request(t, "create"), User{Name: "Ada"})
	require.NoError(t, err)
	_, err = users.store.suspend(request(t, "suspend"), 1)
	require.NoError(t, err)
	_, err = users.store.delete(request(t, "delete"), 2)
	require.NoError(t, err)
	for _, id := range []string{"create", "suspend", "delete"} {
		left, err := rdb.TTL(t.Context(), users.store.memory(request(t, id))).Result()
		require.NoError(t, err)
		require.InDelta(t, 48, left.Hours(), 1, id)
	}
}
