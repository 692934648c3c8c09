package bustest

import "testing"

// Run checks the bus on the Redis that start gives each test: its URL.
func Run(t *testing.T, start func(t *testing.T) string) {
	t.Helper()
	for name, test := range tests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newStage(t, start(t)))
		})
	}
}

func tests() map[string]func(*stage) {
	return map[string]func(*stage){
		"a safe request is answered and leaves nothing":         safeLeavesNothing,
		"an unsafe request keeps its outcome":                   unsafeKeepsOutcome,
		"every caller gets its own answer":                      everyCallerItsOwn,
		"a service's error is an answer":                        errorIsAnswer,
		"a request waits for a worker":                          waitsForWorker,
		"one ID runs once":                                      oneIDRunsOnce,
		"one ID asked by several gateways runs once":            oneIDSeveralGateways,
		"one shared ID runs once and answers only its own":      sharedIDRunsOnce,
		"what is sent is accepted, and its end can be awaited":  sentIsAccepted,
		"who watches finds out without a message":               watcherFindsOut,
		"a request can be cancelled until it runs":              cancelled,
		"what is joined without a deadline runs whenever":       joinedOutlivesItsDeadline,
		"what is sent anew keeps its watchers":                  sentAnewKeepsWatchers,
		"a replayed dead letter can not be cancelled":           replayedIsNotCancelled,
		"another request under the same ID is refused":          otherRequestSameID,
		"a caller's time ends, the outcome is kept":             timeoutKeepsOutcome,
		"an expired request does not run":                       expiredDoesNotRun,
		"an expired request frees its ID":                       expiredFreesID,
		"who still waits for an expired request sends it again": expiredSentAgain,
		"a full mailbox refuses":                                fullMailboxRefuses,
		"a long reply is stored":                                longReply,
		"a reply over the limit is an error":                    tooLongReply,
		"a lost safe reply is asked for again":                  lostSafeReply,
		"a lost unsafe reply is looked up":                      lostUnsafeReply,
		"a reply on another service's channel is ignored":       forgedReply,
		"no reply leaves the reply channels":                    noForeignChannel,
		"entries that are no requests do not stop a worker":     notRequests,
		"what a dead worker left is taken over":                 deadWorkersRequests,
		"a request without an outcome is delivered again":       noOutcomeAgain,
		"a request delivered too often becomes a dead letter":   tooOften,
		"a safe request too becomes a dead letter":              safeTooOften,
		"a dead letter can be replayed under its ID":            replayed,
		"a request can be given up at once":                     givenUpAtOnce,
		"a dead letter that has an outcome does not run again":  replayOfDone,
		"a dropped dead letter frees its ID":                    dropped,
		"a dead letter without an ID can be dropped":            letterOfNobody,
		"all that a dead worker left is taken over":             manyOfADeadWorker,
		"requests that began far apart are settled together":    settledTogether,
		"long work is kept":                                     longWork,
		"a burst is run once":                                   burst,
		"a worker that lost a request can not settle it":        lostOwnership,
		"a worker runs no more than its slots":                  slotsBound,
		"draining finishes what runs":                           drainFinishes,
		"draining ends what runs too long":                      drainLimit,
		"a worker signs on and off":                             signsOnAndOff,
		"scripts that Redis forgot are sent again":              scriptsForgotten,
		"flushing Redis loses what it held and nothing after":   flushed,
		"a route exists while all workers declare it":           routesOfAll,
		"requests of a lane run one at a time and in order":     oneAtATime,
		"lanes pass each other":                                 lanesPassEachOther,
		"a safe request can wait for its turn":                  safeInALane,
		"the request of a dead worker keeps its turn":           turnOfADeadWorker,
		"a dead letter ends its turn":                           deadEndsItsTurn,
		"what expires in a lane holds up nobody":                expiredInALane,
		"many that expired in a lane hold up nobody":            manyExpiredInALane,
		"what waits in a lane can be cancelled":                 cancelledInALane,
		"one ID that waits in a lane runs once":                 sharedInALane,
		"a full lane refuses":                                   fullLaneRefuses,
		"what is removed by hand holds up no lane":              removedByHand,
		"a consumer that is gone is removed with its last one":  retired,
	}
}
