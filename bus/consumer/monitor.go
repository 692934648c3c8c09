package consumer

import "time"

const (
	sampleEvery    = 5 * time.Millisecond
	maxIdleSamples = 200 // after so many samples without a run the monitor pauses
)

// monitor hands reading over whenever an inline run holds up the reader, until over is
// closed. Resume starts the reader of a number.
func (in *inline) monitor(over <-chan struct{}, resume func(reader int)) {
	for {
		select {
		case <-in.wake:
			in.sampleUntilIdle(over, resume)
		case <-over:
			return
		}
	}
}

// sampleUntilIdle samples the inline runs until there are none for a while. A run that
// two samples in a row find holds up the reader.
func (in *inline) sampleUntilIdle(over <-chan struct{}, resume func(reader int)) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	seen, idle := -1, 0
	for {
		select {
		case <-ticker.C:
		case <-over:
			return
		}
		in.mu.Lock()
		reader, same := in.reader, in.runs == seen
		stalled := same && in.running != nil
		if idle++; !same || stalled {
			idle = 0
		}
		seen = in.runs
		in.monitored = idle < maxIdleSamples
		monitored := in.monitored
		in.mu.Unlock()
		if !monitored {
			return
		}
		if stalled {
			in.handOver(reader, seen, resume)
		}
	}
}
