package types

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/oskadev/mailroom/testsupport"
)

// clients writes the clients of all suites into files of a new directory.
func clients(t *testing.T, language, file string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, manifests := range suites(t) {
		to := filepath.Join(dir, strings.ReplaceAll(file, "*", name))
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		require.NoError(t, os.WriteFile(to, []byte(write(t, language, manifests)), 0o600))
	}
	return dir
}

func save(t *testing.T, dir, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
}

// run runs a command in a directory and returns its output.
func run(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", strings.Join(args, " "), out)
	return string(out)
}

func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return root
}

// missing skips a test, or fails it where a variable says that it must not skip.
func missing(t *testing.T, variable, what string) {
	t.Helper()
	if os.Getenv(variable) == "required" {
		t.Fatalf("%s (%s=required)", what, variable)
	}
	t.Skip(what)
}

func TestGoClientsCompileInAModuleOfTheirOwn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("type-checks a module")
	}
	dir, root := clients(t, "go", "*/services.go"), checkout(t)
	save(t, dir, "use.go", `package use

import (
	"context"

	echo "example.com/use/echo"
	shop "example.com/use/shop"
	"github.com/oskadev/mailroom/client"
)

func use(ctx context.Context, c *client.Client) (int64, error) {
	user, err := shop.Users{Client: c.With(client.Key("1"))}.CreateUser(ctx, shop.CreateUserBody{Name: "Oska"})
	if err != nil {
		return 0, err
	}
	cached, err := echo.Echo{Client: c}.Cached(ctx, user.ID, nil)
	return cached.Runs, err
}
`)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	save(t, dir, "go.sum", string(sums))
	env := []string{"GOFLAGS=" + os.Getenv("GOFLAGS") + " -mod=mod", "GOPROXY=off", "GOWORK=off", "GOTOOLCHAIN=local"}
	run(t, dir, env, "go", "mod", "init", "example.com/use")
	run(t, dir, env, "go", "mod", "edit", "-replace", "github.com/oskadev/mailroom="+root)
	run(t, dir, env, "go", "get", "github.com/oskadev/mailroom")
	run(t, dir, env, "go", "vet", "./...")
}

func TestTypeScriptClientsCompileAndCall(t *testing.T) {
	t.Parallel()
	root := checkout(t)
	compiler := filepath.Join(root, "clients", "node", "node_modules", ".bin", "tsc")
	if _, err := os.Stat(compiler); err != nil {
		missing(t, "MAILROOM_TEST_NODE", "this test needs the TypeScript compiler: run npm ci in clients/node")
	}
	dir := clients(t, "ts", "*.ts")
	save(t, dir, "package.json", `{"type":"module"}`)
	save(t, dir, "tsconfig.json", `{"compilerOptions":{"target":"ES2022","module":"NodeNext","lib":["ES2023","DOM"],"types":[],"strict":true,
"noUncheckedIndexedAccess":true,"noUnusedLocals":true,"noUnusedParameters":true,"verbatimModuleSyntax":true,
"noEmit":true,"paths":{"@oskadev/mailroom/client":["`+root+`/clients/node/src/client.ts"]}},"include":["*.ts"]}`)
	save(t, dir, "use.ts", `import { Echo } from './echo.js'
import { Users, type GetUserResult } from './shop.js'
import type { Client, Requester } from '@oskadev/mailroom/client'

export const echo = (requester: Requester) => new Echo(requester)
export async function use(socket: Client): Promise<GetUserResult> {
  const users = new Users(socket).with({ timeout: 1000 })
  const id: number = (await users.createUser({ name: 'Oska', email: 'oska@example.com' })).id
  // @ts-expect-error: the id is a number
  await users.getUser('1')
  // @ts-expect-error: the body lacks a member
  await users.createUser({ name: 'Oska' })
  await users.updateUser(id)
  return users.getUser(id)
}
`)
	run(t, dir, nil, compiler)
	run(t, dir, nil, compiler, "--noCheck", "--noEmit", "false", "--outDir", "dist", "--rootDir", ".", "--paths", "null")
	save(t, dir, "run.mjs", `import { echo } from './dist/use.js'
const asked = []
const requester = {
  request: async (...args) => void asked.push(args),
  with: (options) => (asked.push(options), requester),
}
const client = echo(requester)
await client.getEcho(1)
await client.cached(1)
await client.with({ key: 'k' }).cached(1, { ms: 2 })
console.log(JSON.stringify(asked))
`)
	node, err := exec.LookPath("node")
	require.NoError(t, err)
	assert.Equal(t, `[["echo","GET_ECHO",1],["echo","CACHED",1],{"key":"k"},["echo","CACHED",1,{"ms":2}]]`+"\n",
		run(t, dir, nil, node, "run.mjs"))
}

func TestPythonClientsCompileAndCall(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, testsupport.RequireRedisEnv, "this test needs a python3 in PATH; install one, for example: apt-get install python3")
	}
	dir := clients(t, "python", "*_client.py")
	run(t, dir, nil, python, "-m", "py_compile", "echo_client.py", "shop_client.py", "odd_client.py")
	run(t, dir, nil, python, "-c", `import asyncio, typing, echo_client, shop_client, odd_client

asked: list[object] = []

class Fake:
    async def request(self, *args, **options):
        asked.append([args, options])

async def main() -> None:
    echo = echo_client.Echo(Fake())
    await echo.get_echo(1)
    await echo.cached(1, {"ms": 2}, timeout=3)
    await echo.touch(1, key="k")

asyncio.run(main())
assert asked == [
    [("echo", "GET_ECHO", 1), {"safe": True}],
    [("echo", "CACHED", 1, {"ms": 2}), {"safe": True, "timeout": 3}],
    [("echo", "TOUCH", 1), {"key": "k"}],
], asked
for module in echo_client, shop_client, odd_client:
    for value in list(vars(module).values()):
        if typing.is_typeddict(value):
            typing.get_type_hints(value)
`)
	if exec.CommandContext(t.Context(), python, "-m", "mypy", "--version").Run() != nil {
		t.Log("mypy is not installed: the types were not checked")
		return
	}
	save(t, dir, "use.py", `from mailroom import Socket
from shop_client import GetUserResult, Users


async def use(socket: Socket) -> GetUserResult:
    users = Users(socket)
    created = await users.create_user({"name": "Oska", "email": "oska@example.com"}, key="k")
    await users.get_user("1")  # type: ignore[arg-type]
    await users.create_user({"name": "Oska"})  # type: ignore[typeddict-item]
    return await users.get_user(created["id"])
`)
	env := []string{"MYPYPATH=" + filepath.Join(checkout(t), "clients", "python", "src")}
	run(t, dir, env, python, "-m", "mypy", "--strict", "--follow-imports=silent", ".")
}
