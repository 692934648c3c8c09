package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/oskadev/mailroom/api/stats"
)

// functions are those of the templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"took": took, "ago": ago, "percent": percent, "rate": rate, "spark": spark, "bars": bars, "json": indent,
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"date":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"join":  strings.Join,
		"bytes": func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) },
		"level": level,
	}
}

// took formats a duration with two or three digits; "–" for none.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Millisecond:
		return strconv.FormatInt(d.Microseconds(), 10) + " µs"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// ago formats the time since t.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "–"
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s ago"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min ago"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h ago"
	default:
		return t.UTC().Format(time.DateOnly)
	}
}

// percent formats a share of 0 to 1.
func percent(share float64) string {
	switch {
	case share == 0:
		return "0 %"
	case share < 0.1:
		return fmt.Sprintf("%.1f %%", 100*share)
	default:
		return fmt.Sprintf("%.0f %%", 100*share)
	}
}

// rate formats requests per second.
func rate(perSecond float64) string {
	switch {
	case perSecond == 0:
		return "0"
	case perSecond < 10:
		return fmt.Sprintf("%.1f", perSecond)
	default:
		return fmt.Sprintf("%.0f", perSecond)
	}
}

// level returns the class of an HTTP status.
func level(status int) string {
	switch {
	case status >= 500 || status == 0:
		return "bad"
	case status >= 400:
		return "warn"
	default:
		return "good"
	}
}

// Sizes of the drawings, in pixels.
const (
	sparkWidth, sparkHeight = 120, 24
	barWidth, barsHeight    = 8, 48
)

// line is the drawing of the requests of the last 15 minutes.
type line struct {
	Width, Height int
	All, Errors   string // points of lines; empty: none
	Label         string
}

// spark draws the points of a service.
func spark(points []stats.Point) line {
	l := line{Width: sparkWidth, Height: sparkHeight}
	var most, sum, failed uint64 = 1, 0, 0
	for _, p := range points {
		most = max(most, p.Requests)
		sum += p.Requests
		failed += p.Errors
	}
	l.Label = fmt.Sprintf("%d requests in 15 minutes, %d errors", sum, failed)
	draw := func(of func(stats.Point) uint64) string {
		at := make([]string, len(points))
		for i, p := range points {
			x := float64(stats.Points-len(points)+i) * sparkWidth / (stats.Points - 1)
			y := 1 + (sparkHeight-2)*(1-float64(of(p))/float64(most))
			at[i] = fmt.Sprintf("%.1f,%.1f", x, y)
		}
		return strings.Join(at, " ")
	}
	l.All = draw(func(p stats.Point) uint64 { return p.Requests })
	if failed > 0 {
		l.Errors = draw(func(p stats.Point) uint64 { return p.Errors })
	}
	return l
}

// chart is the drawing of a histogram.
type chart struct {
	Width, Height int
	Bars          []bar
	Label         string
}

// bar is one bucket.
type bar struct {
	X, Y, Width, Height int
	Title               string
}

// bars draws a histogram of durations, from its first to its last bucket.
func bars(h stats.Histogram) chart {
	first, last, most := math.MaxInt, math.MinInt, uint64(1)
	for i, n := range h {
		first, last, most = min(first, i), max(last, i), max(most, n)
	}
	c := chart{Height: barsHeight}
	if len(h) == 0 {
		return c
	}
	last = min(last, first+60)
	for i := first; i <= last; i++ {
		height := int(math.Ceil(float64(h[i]) / float64(most) * (barsHeight - 1)))
		c.Bars = append(c.Bars, bar{
			X: (i - first) * barWidth, Y: barsHeight - height, Width: barWidth - 1, Height: height,
			Title: fmt.Sprintf("up to %s: %d", took(stats.Bound(i)), h[i]),
		})
	}
	c.Width = (last - first + 1) * barWidth
	c.Label = fmt.Sprintf("%d requests, from %s to %s", h.Count(), took(stats.Bound(first)), took(stats.Bound(last)))
	return c
}

// indent formats JSON for people; other text stays as it is.
func indent(text string) string {
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil || decoder.More() {
		return text
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(v) != nil {
		return text
	}
	return strings.TrimSuffix(out.String(), "\n")
}
