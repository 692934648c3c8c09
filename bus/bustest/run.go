package bustest

import "testing"

// Run checks the bus. Start starts a Redis for one test and returns its URL.
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
		"a safe request is answered and leaves nothing":             safeLeavesNothing,
		"an unsafe request keeps its outcome":                       unsafeKeepsOutcome,
		"every caller gets its own answer":                          everyCallerItsOwn,
		"a service's error is an answer":                            errorIsAnswer,
		"a request waits for a worker":                              waitsForWorker,
		"one ID runs once":                                          oneIDRunsOnce,
		"one ID called by several gateways runs once":               oneIDSeveralGateways,
		"one shared ID runs once and answers only its own":          sharedIDRunsOnce,
		"a sent request is accepted and can be awaited":             sentIsAccepted,
		"a watcher finds the end without a message":                 watcherFindsOut,
		"a request can be cancelled until it runs":                  cancelled,
		"a request joined without a deadline does not expire":       joinedOutlivesItsDeadline,
		"a request that is sent again keeps its watchers":           sentAnewKeepsWatchers,
		"a replayed dead letter cannot be cancelled":                replayedIsNotCancelled,
		"another request under the same ID is refused":              otherRequestSameID,
		"an outcome is stored after its caller's deadline":          timeoutKeepsOutcome,
		"an expired request does not run":                           expiredDoesNotRun,
		"an expired request frees its ID":                           expiredFreesID,
		"a caller that waits longer sends an expired request again": expiredSentAgain,
		"a full mailbox refuses requests":                           fullMailboxRefuses,
		"a long reply is stored":                                    longReply,
		"a reply over the limit is an error":                        tooLongReply,
		"a safe request is sent again after a lost reply":           lostSafeReply,
		"a lost unsafe reply is looked up":                          lostUnsafeReply,
		"a reply on another service's channel is ignored":           forgedReply,
		"no reply leaves the reply channels":                        noForeignChannel,
		"invalid entries do not stop a worker":                      notRequests,
		"a dead worker's requests are taken over":                   deadWorkersRequests,
		"a request without an outcome is delivered again":           noOutcomeAgain,
		"a request delivered too often becomes a dead letter":       tooOften,
		"a safe request too becomes a dead letter":                  safeTooOften,
		"a dead letter can be replayed under its ID":                replayed,
		"a run can make a dead letter at once":                      givenUpAtOnce,
		"a dead letter that has an outcome does not run again":      replayOfDone,
		"a dropped dead letter frees its ID":                        dropped,
		"a dead letter without an ID can be dropped":                letterOfNobody,
		"many requests of a dead worker are taken over":             manyOfADeadWorker,
		"requests that began far apart are settled together":        settledTogether,
		"long runs are kept":                                        longWork,
		"the requests of a burst run once":                          burst,
		"a worker that lost a request cannot settle it":             lostOwnership,
		"a worker runs no more than its slots":                      slotsBound,
		"draining waits for running requests":                       drainFinishes,
		"draining ends runs that take too long":                     drainLimit,
		"a worker registers and deregisters":                        signsOnAndOff,
		"scripts that Redis forgot are sent again":                  scriptsForgotten,
		"flushing Redis loses no later request":                     flushed,
		"a route exists while all workers declare it":               routesOfAll,
		"requests of a lane run one at a time and in order":         oneAtATime,
		"lanes do not wait for each other":                          lanesPassEachOther,
		"a safe request can wait for its turn":                      safeInALane,
		"the request of a dead worker keeps its turn":               turnOfADeadWorker,
		"a dead letter ends its turn":                               deadEndsItsTurn,
		"a request that expires in a lane delays no other":          expiredInALane,
		"many expired requests in a lane delay no other":            manyExpiredInALane,
		"a request that waits in a lane can be cancelled":           cancelledInALane,
		"one ID that waits in a lane runs once":                     sharedInALane,
		"a full lane refuses requests":                              fullLaneRefuses,
		"entries removed by hand block no lane":                     removedByHand,
		"a stopped worker removes its idle consumer":                retired,
	}
}
