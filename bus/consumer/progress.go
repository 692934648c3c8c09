package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oskadev/mailroom/bus/wire"
)

const (
	// MaxProgress is the maximum size of the progress of a request, in bytes.
	MaxProgress = 16 << 10
	// progressInterval is the time between two reports of one request. Of those that come
	// faster, the last counts.
	progressInterval = 100 * time.Millisecond
)

var errProgressLine = errors.New("progress has a line break")

// Progress reports the progress of a running request, as JSON without line breaks. Reports
// are sent at most every 100 ms: then the latest.
func (d *Delivery) Progress(ctx context.Context, text []byte) error {
	switch {
	case len(text) > MaxProgress:
		return fmt.Errorf("progress of %d bytes is larger than %d", len(text), MaxProgress)
	case bytes.ContainsAny(text, "\r\n"):
		return errProgressLine
	case d.owner != nil:
		d.owner.progress(context.WithoutCancel(ctx), d, text)
	}
	return nil
}

// progress keeps a report until it is sent.
func (r *requests) progress(ctx context.Context, d *Delivery, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.running[d.Entry]
	if run == nil || run != d.run {
		return
	}
	waits := run.progress != nil
	if run.progress = text; waits {
		return
	}
	time.AfterFunc(max(0, progressInterval-time.Since(run.reported)), func() { r.report(ctx, d) })
}

// report sends the latest report of a request that is still running.
func (r *requests) report(ctx context.Context, d *Delivery) {
	r.mu.Lock()
	run := r.running[d.Entry]
	if run == nil || run != d.run {
		r.mu.Unlock()
		return
	}
	text := run.progress
	run.progress, run.reported = nil, time.Now()
	r.mu.Unlock()

	w, request := r.w, &d.Request
	ctx, cancel := context.WithTimeout(ctx, w.conn.Timeout())
	defer cancel()
	var err error
	switch {
	case !request.Safe():
		keys := []string{w.mailbox, w.conn.Keys.Record(w.service, request.ID)}
		_, err = w.conn.Scripts.Progress.Run(ctx, w.conn.Redis(), keys, w.id, d.Entry, request.ID, text)
	case w.conn.Keys.MayReply(w.service, request.Reply):
		err = w.conn.Redis().Publish(ctx, request.Reply, wire.ProgressLine(request.ID, text)).Err()
	}
	if err != nil && !w.isRefused(err) {
		w.log.With(d.LogIDs()).WarnContext(ctx, "cannot report progress", "error", err)
	}
}
