package stats

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// schema is the resolution of histograms: each bucket is 2^(1/4), or 19 %, wider than the
// one before it (https://prometheus.io/docs/specs/native_histograms/#schema).
const schema = 2

// zero is the index of the bucket of values that are 0: below 15 µs.
const zero = -64

// Histogram counts durations in buckets: bucket i ends at 2^(i/4) seconds.
type Histogram map[int]uint64

// MarshalJSON writes pairs of index and count.
func (h Histogram) MarshalJSON() ([]byte, error) {
	pairs := make([][2]int64, 0, len(h))
	for _, i := range slices.Sorted(maps.Keys(h)) {
		pairs = append(pairs, [2]int64{int64(i), int64(h[i])}) //nolint:gosec // a count of requests
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var pairs [][2]int64
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	*h = make(Histogram, len(pairs))
	for _, pair := range pairs {
		(*h)[int(pair[0])] += uint64(max(0, pair[1]))
	}
	return nil
}

// Bound returns the upper bound of a bucket.
func Bound(bucket int) time.Duration {
	if bucket <= zero {
		return 0
	}
	return time.Duration(math.Exp2(float64(bucket)/4) * float64(time.Second))
}

// Count returns the number of durations.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, count := range h {
		n += count
	}
	return n
}

// Quantile returns the duration below which a share q of all durations is; 0: there are
// none. It is exact to the width of a bucket; one of at most 15 µs counts as 1 µs.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count())
	var seen float64
	for _, i := range slices.SortedFunc(maps.Keys(h), cmp.Compare[int]) {
		n := float64(h[i])
		if seen += n; seen < rank || n == 0 {
			continue
		}
		if i <= zero {
			return time.Microsecond
		}
		within := 1 - (seen-rank)/n
		return time.Duration(math.Exp2((float64(i)-1+within)/4) * float64(time.Second))
	}
	return 0
}

// add adds another histogram.
func (h Histogram) add(other Histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// since returns what was added to h after an earlier state of it.
func (h Histogram) since(before Histogram) Histogram {
	added := make(Histogram)
	for i, n := range h {
		if earlier := before[i]; n > earlier {
			added[i] = n - earlier
		}
	}
	return added
}

// histogramOf reads the native buckets of a metric, at the resolution of schema.
func histogramOf(m *dto.Histogram) Histogram {
	h := make(Histogram)
	if n := m.GetZeroCount(); n > 0 {
		h[zero] = n
	}
	shift := uint(max(0, m.GetSchema()-schema))
	index, count, next := int32(0), int64(0), 0
	for _, span := range m.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			if next >= len(m.GetPositiveDelta()) {
				return h
			}
			count += m.GetPositiveDelta()[next]
			next++
			if count > 0 {
				coarse := (int(index) + (1 << shift) - 1) >> shift
				h[max(coarse, zero)] += uint64(count)
			}
			index++
		}
	}
	return h
}
