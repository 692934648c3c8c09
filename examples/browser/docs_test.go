package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestDocs opens the page /docs of a gateway and sends requests from it, with the policy that
// the gateway sets.
func TestDocs(t *testing.T) {
	t.Parallel()
	gateway := startGateway(t, "https://example.com")
	ctx, closeBrowser := openBrowser(t, chromium(t))
	messages := chromedp.Console(ctx)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v; the page shows:\n%s", err, evaluate[string](t, ctx, "document.body.innerText"))
		}
	}
	do(chromedp.Navigate(gateway+"/docs"), until(`document.querySelector("#USERS_GET_USER")`))
	screenshot(t, ctx, "docs-light.png")

	get := operation("USERS_GET_USER")
	do(get.open(), until(get.fill("form input", "1")), get.send(), get.answers("200", `"name": "Oska"`))
	create := operation("USERS_CREATE_USER")
	do(create.open(), until(create.query("textarea")+`.value.includes("ada@example.com")`), // the examples of the service
		create.send(), create.answers("201", `"name": "Ada"`))
	screenshot(t, ctx, "docs-form.png")

	// The key stays in this tab.
	do(until(fill(`document.querySelector("#key")`, "mk_key")),
		until(`sessionStorage.length === 1 && localStorage.length === 0 && document.cookie === ""`),
		chromedp.Navigate(gateway+"/docs/v3"), until(`document.querySelector("#PAYMENTS_PAY")`),
		until(`document.querySelector("#key").value === "mk_key" && document.querySelector("#version").value === "v3"`))
	pay := operation("PAYMENTS_PAY")
	do(pay.open(), until(pay.fill("textarea", `{"user_id":1,"item_id":1,"gateway":"C","amount":5}`)), pay.send(), pay.answers("501", "NOT_SUPPORTED"))

	key := func(name string) string {
		return fmt.Sprintf(`(document.activeElement.blur(), document.body.dispatchEvent(new KeyboardEvent("keydown", {key: %q, bubbles: true})), true)`, name)
	}
	do(until(key("/")), until(`document.activeElement.id === "filter"`),
		until(fill(`document.querySelector("#filter")`, "{code}/redeem")), until(`document.querySelectorAll(".operation").length === 1`),
		until(key("j")), until(`document.activeElement.matches(".operation > summary")`))

	dark := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}
	do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, dark)
		return err
	}), chromedp.Navigate(gateway+"/docs"), until(`document.querySelector("#USERS_LIST_USERS")`), operation("USERS_LIST_USERS").open(),
		until(`document.documentElement.scrollWidth <= 360`))
	screenshot(t, ctx, "docs-phone.png")

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

// operation is one operation on the page, by its operationId.
type operation string

func (p operation) query(selector string) string {
	return fmt.Sprintf("document.querySelector(%q)", "#"+string(p)+" "+selector)
}

// open opens the operation.
func (p operation) open() chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf(`(document.getElementById(%q).open = true, %s)`, p, p.query("form")))
}

// fill sets the value of an input.
func (p operation) fill(selector, value string) string { return fill(p.query(selector), value) }

// send submits the form.
func (p operation) send() chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf(`(%s.requestSubmit(), true)`, p.query("form")))
}

// answers waits for an answer with a status and a part of its body.
func (p operation) answers(status, part string) chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf(`%s?.textContent.startsWith(%q) && %s.textContent.includes(%q)`, p.query(".status"), status, p.query(".answer"), part))
}

// fill sets the value of an element, and tells the page.
func fill(element, value string) string {
	return fmt.Sprintf(`(e => (e.value = %q, e.dispatchEvent(new Event("input")), e.dispatchEvent(new Event("change")), true))(%s)`, value, element)
}

// screenshot writes an image of the page to the directory of MAILROOM_TEST_SCREENSHOTS, if
// there is one.
func screenshot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("MAILROOM_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), image, 0o600); err != nil {
		t.Fatal(err)
	}
}
