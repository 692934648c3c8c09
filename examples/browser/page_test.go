package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const wait = 20 * time.Second // for anything in a page

func TestPage(t *testing.T) {
	t.Parallel()
	p := openable(t)
	gateway := startGateway(t, p.URL)
	p.check(t, gateway, func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gateway+"/echo/1/touch", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	})
}

// server serves the page to a browser.
type server struct {
	*httptest.Server
	browser string
}

// openable serves the page until the test ends. It skips the test if it cannot be opened.
func openable(t *testing.T) server {
	t.Helper()
	browser := chromium(t)
	if err := check(defaultClient); err != nil {
		missing(t, err.Error())
	}
	s := httptest.NewServer(handler(defaultClient))
	t.Cleanup(s.Close)
	return server{s, browser}
}

// chromium returns the path of the browser. Without one it skips the test.
func chromium(t *testing.T) string {
	t.Helper()
	browser, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "this test needs chromium in PATH; on Debian: apt-get install chromium")
	}
	return browser
}

// openBrowser starts a browser, which ends with the test. closeBrowser ends it before.
func openBrowser(t *testing.T, browser string) (ctx context.Context, closeBrowser func()) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.WindowSize(900, 700))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses it to root; the page is our own
	}
	ctx, cancel := chromedp.NewExecAllocator(lasting(t), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	closeBrowser = sync.OnceFunc(func() {
		limited, stop := context.WithTimeout(ctx, wait)
		defer stop()
		_ = chromedp.Cancel(limited) // waits for its end
	})
	t.Cleanup(closeBrowser)
	return ctx, closeBrowser
}

// check opens the page on a gateway. touch makes the value of the page stale.
func (s server) check(t *testing.T, gateway string, touch func()) {
	t.Helper()
	ctx, closeBrowser := openBrowser(t, s.browser)
	messages := chromedp.Console(ctx)
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%v; the page shows:\n%s", err, evaluate[string](t, ctx, "document.body.innerText"))
		}
	}
	do(chromedp.Navigate(s.URL+"/?gateway="+url.QueryEscape(gateway)),
		shows("record", `{"id":1,"name":"Oska","email":"oska@example.com"}`),
		shows("connection", "connected to "+gateway), until(`document.querySelector("#touch:enabled")`))
	runs := evaluate[int](t, ctx, `Number(document.querySelector("#runs").textContent)`)
	do(chromedp.Click(chromedp.CSS("#touch:enabled")), shows("runs", strconv.Itoa(runs+1)))
	touch()
	do(shows("runs", strconv.Itoa(runs+2)), shows("problem", ""))
	if file := os.Getenv("MAILROOM_TEST_SCREENSHOT"); file != "" {
		image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closeBrowser()
	for m, err := range messages {
		if err != nil {
			break // the page is closed
		}
		if m.Type == chromedp.ConsoleException || m.Type == "error" {
			t.Errorf("the page logged %s at %s", m.Text, m.URL)
		}
	}
}

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// shows waits until an element of the page has this text.
func shows(id, text string) chromedp.Action[chromedp.Void] {
	return until(fmt.Sprintf("document.getElementById(%q).textContent === %q", id, text))
}

// until waits until an expression is true.
func until(expression string) chromedp.Action[chromedp.Void] {
	poll := chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(wait))
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		for began := time.Now(); ; {
			_, err := poll(ctx, target)
			if err == nil {
				return chromedp.Void{}, nil
			}
			// A page that a form has just left; the next one follows.
			left := strings.Contains(err.Error(), "Cannot find context") || strings.Contains(err.Error(), "navigated or closed")
			if !left || time.Since(began) > wait {
				return chromedp.Void{}, fmt.Errorf("%s: %w", expression, err)
			}
		}
	}
}

// startGateway builds this checkout, and runs it with the examples until the test ends.
func startGateway(t *testing.T, origin string) string {
	t.Helper()
	gateway, _ := startDev(t, buildBinary(t), origin)
	return gateway
}

// buildBinary builds this checkout.
func buildBinary(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mailroom")
	build := exec.CommandContext(t.Context(), "go", "build", "-pgo=off", "-o", binary, ".")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// freeAddress returns an address of this machine that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// startDev runs a gateway, a Redis and the examples until the test ends. It returns the URLs
// of the gateway and of Redis.
func startDev(t *testing.T, binary, origin string) (gateway, redis string) {
	t.Helper()
	address := freeAddress(t)
	_, out := pipes(t, exec.CommandContext(lasting(t), binary, "dev", "--listen", address, "--cors-origin", origin))
	lines := bufio.NewScanner(out) // it greets when it serves
	for redis == "" && lines.Scan() {
		if _, url, found := strings.Cut(lines.Text(), "mailroom services --redis "); found {
			redis = url
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return "http://" + address, redis
}

// lasting returns a context that outlives the test, so that only its cleanup ends a process.
func lasting(t *testing.T) context.Context {
	t.Helper()
	return context.WithoutCancel(t.Context())
}

// pipes starts a command and stops it when the test ends.
func pipes(t *testing.T, cmd *exec.Cmd) (io.Writer, io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	return in, out
}

// missing skips a test, or fails it where it must not skip.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("MAILROOM_TEST_BROWSER") == "required" {
		t.Fatal(what, " (MAILROOM_TEST_BROWSER=required)")
	}
	t.Skip(what)
}
