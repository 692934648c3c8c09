package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// desk is a gateway whose console wants a login, beside one with the examples.
type desk struct {
	gateway string // with the console, on its address for operators
	client  string // for clients
	redis   string
	key     string // may look and act
	weak    string // has no scope
}

func openDesk(t *testing.T) desk {
	t.Helper()
	binary := buildBinary(t)
	_, redis := startDev(t, binary, "https://example.com")
	listen, ops := freeAddress(t), freeAddress(t)
	key := func(scopes ...string) string {
		args := []string{"keys", "create", "--name", "operator", "--redis", redis}
		for _, scope := range scopes {
			args = append(args, "--scope", scope)
		}
		out, err := exec.CommandContext(t.Context(), binary, args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for word := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(word, "mk_") {
				return word
			}
		}
		t.Fatalf("no key in %q", out)
		return ""
	}
	d := desk{gateway: "http://" + ops, client: "http://" + listen, redis: redis, key: key("console:read", "console:write", "payments:write"), weak: key()}
	pipes(t, exec.CommandContext(lasting(t), binary, "api", "--auth", "optional", "--redis", redis, "--listen", listen, "--ops-listen", ops))
	for began := time.Now(); d.call(t, http.MethodGet, "/users/1", "", "") != http.StatusOK; {
		if time.Since(began) > wait {
			t.Fatal("the gateway does not serve")
		}
	}
	return d
}

// call sends a request with an X-Request-Id, and returns its status.
func (d desk) call(t *testing.T, method, path, body, id string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.client+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("X-Request-Id", id)
	request.Header.Set("X-API-Key", d.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// bury adds a dead letter of echo.
func (d desk) bury(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.redis, "redis://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	words := []string{
		"XADD", "mailroom:{echo}:dead", "*", "v", "1", "id", "01a21f00-0000-7000-8000-000000000001", "action", "ECHO", "args", `[{"poison":true}]`,
		"reply", "", "deadline", "", "meta", "", "store", "60000", "lane", "", "error", "delivered 5 times without an outcome", "attempts", "5", "dead_at", fmt.Sprint(time.Now().UnixMilli()),
	}
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 64)); n == 0 {
		t.Fatal(err)
	}
}

// TestConsole does what an operator does: log in, find a slow service and a failed request,
// replay a dead letter, invoke an action; with keys, on a phone, in the dark.
func TestConsole(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	d := openDesk(t)
	d.bury(t)
	ctx, closeBrowser := openBrowser(t, browser)
	messages := chromedp.Console(ctx)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v; the page at %s shows:\n%s", err, evaluate[string](t, ctx, "location.href"), evaluate[string](t, ctx, "document.body.innerText"))
		}
	}
	open := func(path, ready string) { t.Helper(); do(chromedp.Navigate(d.gateway+path), until(ready)) }
	submit := func(form string) chromedp.Action[chromedp.Void] {
		return until(fmt.Sprintf(`(document.querySelector(%q).click(), true)`, form))
	}
	text := func(part string) chromedp.Action[chromedp.Void] {
		return until(fmt.Sprintf(`document.body.innerText.includes(%q)`, part))
	}

	open("/console/", `location.pathname === "/console/login"`)
	do(until(fill(`document.querySelector("#key")`, d.weak)), submit("main button"), text("lacks the scope console:read"))
	do(until(fill(`document.querySelector("#key")`, d.key)), submit("main button"), until(`location.pathname === "/console/"`), text("users"))

	// A slow service has a tag in the overview, and its request is in the tail.
	if got := d.call(t, http.MethodPost, "/echo/sleep", `{"ms":1500}`, "slow-one"); got != http.StatusOK {
		t.Fatal(got)
	}
	do(until(`[...document.querySelectorAll("tr")].some(r => r.innerText.startsWith("echo") && r.innerText.includes("slow") || r.innerText.includes("dead letters"))`))
	screenshot(t, ctx, "console-light.png")
	open("/console/recent?slower=1s", `document.body.innerText.includes("/echo/sleep")`)
	do(until(`!document.body.innerText.includes("/users/1")`))
	d.call(t, http.MethodGet, "/nothing-here", "", "lost-one")
	open("/console/recent?status=404", `document.body.innerText.includes("/nothing-here")`)
	d.call(t, http.MethodGet, "/nothing-there", "", "lost-two")
	do(text("/nothing-there")) // without loading the page again

	// The pieces of a composition are rows of one time line.
	if got := d.call(t, http.MethodPost, "/payments", `{"user_id":1,"item_id":1,"gateway":"A","amount":5}`, "pay-one"); got != http.StatusCreated {
		t.Fatal(got)
	}
	open("/console/requests?id=pay-one", `document.body.innerText.includes("PAY")`)
	do(until(`document.querySelectorAll("svg.fall").length === 1`), submit("a.button"), text(`"amount": 5`))
	screenshot(t, ctx, "console-request.png")

	// A dead letter is found, replayed after a confirmation, and gone.
	open("/console/dead", `document.body.innerText.includes("echo")`)
	open("/console/dead/echo", `document.body.innerText.includes("delivered 5 times")`)
	do(submit(`input[name="entry"]`), submit(`button[value="replay"]`), text("Replay 1 dead letters of echo?"),
		submit(`button[name="confirm"]`), text("replayed 1"), text("No dead letter matches."))
	open("/console/audit", `document.body.innerText.includes("replay")`)

	open("/console/services/users?action=GET_USER", `document.querySelector("#arg-id") !== null`)
	do(until(fill(`document.querySelector("#arg-id")`, "1")), submit(".invoke button"), until(`document.querySelector("#answer")?.textContent.includes("Oska")`))

	key := func(name string) chromedp.Action[chromedp.Void] {
		return until(fmt.Sprintf(`(document.activeElement.blur(), document.body.dispatchEvent(new KeyboardEvent("keydown", {key: %q, bubbles: true})), true)`, name))
	}
	open("/console/", `document.querySelectorAll("tr[data-href]").length > 3`)
	do(key("j"), key("j"), until(`document.querySelectorAll("tr.chosen").length === 1`), key("k"), key("?"), until(`document.querySelector("#help").open`),
		until(`(document.querySelector("#help").close(), true)`), key("/"), until(`document.activeElement.id === "search"`))

	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, dark)
		return err
	}))
	for _, path := range []string{"/console/", "/console/services/users?action=CREATE_USER", "/console/recent", "/console/requests?id=pay-one", "/console/versions", "/console/keys", "/console/gateways"} {
		open(path, `getComputedStyle(document.body).backgroundColor === "rgb(17, 20, 24)"`)
		do(until(`document.documentElement.scrollWidth <= 360`))
	}
	open("/console/", `document.querySelectorAll("tr[data-href]").length > 3`)
	screenshot(t, ctx, "console-phone.png")

	closeBrowser()
	for m, err := range messages {
		if err != nil {
			break // the page is closed
		}
		if m.Type == chromedp.ConsoleException || m.Type == "security" {
			t.Errorf("the page logged %s at %s", m.Text, m.URL)
		}
	}
}
