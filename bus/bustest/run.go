package bustest

import "testing"

// Run runs the suite. start returns the URL of a Redis for each test.
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
		"a safe request is answered and leaves nothing":        safeLeavesNothing,
		"an unsafe request keeps its outcome":                  unsafeKeepsOutcome,
		"every caller gets its own answer":                     everyCallerItsOwn,
		"a service's error is an answer":                       errorIsAnswer,
		"a request waits for a worker":                         waitsForWorker,
		"one ID runs once":                                     oneIDRunsOnce,
		"one ID sent by several gateways runs once":            oneIDSeveralGateways,
		"one shared ID runs once and answers only its own":     sharedIDRunsOnce,
		"a request sent without waiting can be watched":        sentIsAccepted,
		"a watcher finds the end without a message":            watcherFindsOut,
		"a request can be cancelled until it runs":             cancelled,
		"a running request can be cancelled":                   cancelledWhileItRuns,
		"a handler reports progress":                           reportsProgress,
		"joining without a deadline removes the deadline":      joinedOutlivesItsDeadline,
		"a request sent again keeps its watchers":              sentAnewKeepsWatchers,
		"a replayed dead letter can not be cancelled":          replayedIsNotCancelled,
		"another request under the same ID is refused":         otherRequestSameID,
		"a caller's time ends, the outcome is kept":            timeoutKeepsOutcome,
		"an expired request does not run":                      expiredDoesNotRun,
		"a safe request that its reader lost expires":          expiredRead,
		"an expired request frees its ID":                      expiredFreesID,
		"a waiting caller sends an expired request again":      expiredSentAgain,
		"a full mailbox refuses":                               fullMailboxRefuses,
		"a long reply is stored":                               longReply,
		"a principal that stores too much is refused":          storageIsLimited,
		"a principal alone may store all":                      loneStorage,
		"waiting requests are stored bytes":                    waitingIsStored,
		"a large outcome is not kept long":                     largeOutcome,
		"a reply over the limit is an error":                   tooLongReply,
		"a safe request with a lost reply is sent again":       lostSafeReply,
		"a lost unsafe reply is looked up":                     lostUnsafeReply,
		"a reply on another service's channel is ignored":      forgedReply,
		"no reply leaves the reply channels":                   noForeignChannel,
		"entries that are no requests do not stop a worker":    notRequests,
		"the request of a dead worker is taken over":           deadWorkersRequests,
		"a request without an outcome is delivered again":      noOutcomeAgain,
		"a request delivered too often becomes a dead letter":  tooOften,
		"a safe request too becomes a dead letter":             safeTooOften,
		"a dead letter can be replayed under its ID":           replayed,
		"a request can be given up at once":                    givenUpAtOnce,
		"a dead letter that has an outcome does not run again": replayOfDone,
		"a dropped dead letter frees its ID":                   dropped,
		"a dead letter without an ID can be dropped":           letterWithoutID,
		"all requests of a dead worker are taken over":         manyOfADeadWorker,
		"requests that began far apart are settled together":   settledTogether,
		"long work is kept":                                    longWork,
		"a burst is run once":                                  burst,
		"a worker that lost a request can not settle it":       lostOwnership,
		"a worker runs no more than its slots":                 slotsBound,
		"draining finishes what runs":                          drainFinishes,
		"draining ends what runs too long":                     drainLimit,
		"a worker signs on and off":                            signsOnAndOff,
		"scripts that Redis forgot are sent again":             scriptsForgotten,
		"flushing Redis loses no later request":                flushed,
		"a route exists while all workers declare it":          routesOfAll,
		"requests of a lane run one at a time and in order":    oneAtATime,
		"lanes pass each other":                                lanesPassEachOther,
		"a safe request can wait for its turn":                 safeInALane,
		"the request of a dead worker keeps its turn":          turnOfADeadWorker,
		"a dead letter ends its turn":                          deadEndsItsTurn,
		"an expired request in a lane blocks no other":         expiredInALane,
		"many expired requests in a lane block no other":       manyExpiredInALane,
		"a request that waits in a lane can be cancelled":      cancelledInALane,
		"one ID that waits in a lane runs once":                sharedInALane,
		"a full lane refuses":                                  fullLaneRefuses,
		"requests without a deadline run few at a time":        backgroundWidth,
		"requests without a deadline share the room":           backgroundShares,
		"an entry removed by hand blocks no lane":              removedByHand,
		"a dead consumer is removed with its last request":     retired,
	}
}
