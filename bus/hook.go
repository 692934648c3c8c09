package bus

// Step names a place between two steps of the request path.
type Step string

// The steps at which a hook is called, in the order of the request path.
const (
	// StepEnqueue is before the batch that holds the request is written.
	StepEnqueue Step = "enqueue"
	// StepEnqueued is when Redis has confirmed the request.
	StepEnqueued Step = "enqueued"
	// StepDelivered is when a worker has read the request, before it runs.
	StepDelivered Step = "delivered"
	// StepClaimed is the same for a request of a dead worker.
	StepClaimed Step = "claimed"
	// StepBegin is right before the handler of the request is called.
	StepBegin Step = "begin"
	// StepRan is when the handler has ended, before its outcome is settled.
	StepRan Step = "ran"
	// StepSettle is before the batch that holds the outcome is written.
	StepSettle Step = "settle"
	// StepSettled is when Redis has confirmed the outcome.
	StepSettled Step = "settled"
	// StepReply is when the reply has arrived, before its waiter is woken.
	StepReply Step = "reply"
)

// Hook is called between the steps with the request's ID. It may block: the request
// waits there. Only tests set one.
type Hook func(step Step, id string)

// At calls the hook if it is set.
func (h Hook) At(step Step, id string) {
	if h != nil {
		h(step, id)
	}
}
