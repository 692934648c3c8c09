package mutants

import (
	"strconv"
	"time"

	"github.com/oskadev/mailroom/internal/conformance/resp"
)

// claim takes abandoned requests.
func (w *nativeMutant) claim(free int) {
	if w.is("no-claims") || !w.steady() {
		return
	}
	limit := strconv.FormatInt(w.idle.Milliseconds(), 10)
	if w.is("claims-early") {
		limit = "0"
	}
	pending, err := w.reading.do("XPENDING", w.mailbox, "workers", "IDLE", limit, "-", "+", strconv.Itoa(free))
	if err != nil || !w.steady() {
		return
	}
	words, attempts := []string{"XCLAIM", w.mailbox, "workers", w.id, limit}, make(map[string]int)
	var suspects []string
	w.mu.Lock()
	for _, row := range pending.Items {
		entry, count := row.Items[0].Text, int(numberIn(row.Items[3].Text))
		switch {
		case w.running[entry] != nil:
		case row.Items[1].Text != "-" && count > 0 && !w.is("claims-suspects-together"):
			suspects = append(suspects, entry)
		default:
			words = append(words, entry)
			attempts[entry] = count + 1
		}
	}
	w.mu.Unlock()
	if len(attempts) > 0 {
		if v, err := w.reading.do(words...); err == nil {
			w.deliver(v, attempts)
		}
	}
	for range suspects {
		if w.taken() < mutantSlots {
			w.try(limit, suspects)
		}
	}
}

// steady reports that no keep-alive was late for an idle limit.
func (w *nativeMutant) steady() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := time.Since(w.kept) > w.idle*6/10 && !w.is("claims-after-outages", "rare-keeps")
	return w.is("claims-at-once") || !late && time.Since(w.since) >= w.idle
}

// taken returns the number of slots that are taken.
func (w *nativeMutant) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.running)
}

// try runs one suspect until its trial is over.
func (w *nativeMutant) try(limit string, suspects []string) {
	v, err := w.reading.script("trial", 1, append([]string{w.mailbox, w.id, "take", limit, "4", "1", ""}, suspects...)...)
	if err != nil || len(v.Items) < 6 {
		return
	}
	entry, trial := v.Items[1].Text, 50*time.Millisecond
	if v.Items[3].Text == "1" && !w.is("runs-suspects-beside") {
		trial = 2 * time.Second
		w.until(trial, func() bool { return w.taken() == 0 })
		if v, err := w.reading.script("trial", 1, w.mailbox, w.id, "begin", entry, ""); err != nil || v.Text != "1" {
			return
		}
	}
	request := resp.Value{Kind: '*', Items: []resp.Value{{Kind: '$', Text: entry}, v.Items[5]}}
	w.deliver(resp.Value{Kind: '*', Items: []resp.Value{request}}, map[string]int{entry: int(numberIn(v.Items[2].Text))})
	w.until(trial, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.running[entry] == nil
	})
	_, _ = w.reading.script("trial", 1, w.mailbox, w.id, "end", entry)
}

// until waits for a condition, up to a limit.
func (w *nativeMutant) until(limit time.Duration, holds func() bool) {
	for end := time.Now().Add(limit); time.Now().Before(end) && !holds(); {
		<-time.After(2 * time.Millisecond)
	}
}
