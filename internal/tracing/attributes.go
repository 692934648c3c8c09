package tracing

// Attributes of spans that the semantic conventions of OpenTelemetry do not name.
// docs/reference/traces.md describes them.
const (
	// Service and Action are those that were called.
	Service = "mailroom.service"
	Action  = "mailroom.action"
	// Step is the name of the step of a composition.
	Step = "mailroom.step"
	// Version is the version of the API, such as v2.
	Version = "mailroom.version"
	// RequestID is the X-Request-Id, CorrelationID the ID on the bus.
	RequestID     = "mailroom.request_id"
	CorrelationID = "mailroom.correlation_id"
	// Cache is where a cached or shared answer came from.
	Cache = "mailroom.cache"
	// Worker is the identifier of the worker that answered.
	Worker = "mailroom.worker"
	// Attempt counts the deliveries of a request, from 1.
	Attempt = "mailroom.attempt"
	// State is how a delivery without an answer of its handler ended.
	State = "mailroom.state"
	// Status is the HTTP status of an answer on the bus.
	Status = "mailroom.status"
)
