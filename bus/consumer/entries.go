package consumer

import (
	"context"
	"strings"

	"github.com/oskadev/mailroom/internal/resp"
)

// readStream reads the answer of XREADGROUP.
func readStream(answer string) (batch []*Delivery, err error) {
	err = resp.StreamEntries(answer, func(e resp.Entry) { batch = append(batch, newDelivery(e.ID, e.Fields)) })
	return batch, err
}

// fetchEntries sends a command that answers with entries of the mailbox (XRANGE,
// XCLAIM).
func (c *Consumer) fetchEntries(ctx context.Context, p *resp.Pipeline, command ...string) (batch []*Delivery, err error) {
	opening, cancel := context.WithTimeout(ctx, c.conn.Timeout())
	defer cancel()
	conn, err := p.Conn(opening, c.mailbox)
	if err != nil {
		return nil, err
	}
	answer, err := conn.Do(c.conn.Timeout(), func(out *resp.Commands) { out.Add(command...) })
	if err != nil {
		return nil, err
	}
	err = resp.Entries(answer, func(e resp.Entry) { batch = append(batch, newDelivery(e.ID, e.Fields)) })
	return batch, c.explainRead(ctx, p, err, answer, command[0], c.mailbox)
}

// explainRead explains an error that Redis answered a read with. On a cluster the
// mailbox may have moved: the next read finds it.
func (c *Consumer) explainRead(ctx context.Context, p *resp.Pipeline, err error, answer string, command ...any) error {
	if err == nil {
		return nil
	}
	if strings.HasPrefix(answer, "-MOVED ") {
		p.ReloadCluster(ctx)
	}
	return c.conn.Explain(err, command...)
}
