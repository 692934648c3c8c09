package suites

// Service is the name of the service that workers under test serve.
const Service = "conformance"

// Declared is what the manifest has to say of an action of the service.
type Declared struct {
	Name        string   `json:"name"`
	Routes      []string `json:"routes"`
	Safe        bool     `json:"safe"`
	Lane        string   `json:"lane"`
	Invalidates []string `json:"invalidates"`
	Cached      bool     `json:"cached"`
}

// Definition returns the actions of the service.
func Definition() []Declared {
	unsafe := func(name, path string) Declared {
		return Declared{Name: name, Routes: []string{"POST /conformance" + path}}
	}
	appends, touch := unsafe("APPEND", "/:key/append"), unsafe("TOUCH", "/:id/touch")
	appends.Lane, touch.Invalidates = Service+":{0}", []string{Service + ":{0}"}
	return []Declared{
		unsafe("ECHO", "/echo"), unsafe("FAIL", "/fail"), unsafe("SLEEP", "/sleep"), unsafe("BLOCK", "/block"),
		unsafe("PANIC", "/panic"), unsafe("BIG", "/big"), unsafe("NOOUTCOME", "/nooutcome"), appends, touch,
		{Name: "GET", Routes: []string{"GET /conformance/:id"}, Safe: true},
		{Name: "CACHED", Routes: []string{"GET /conformance/:id/cached"}, Safe: true, Cached: true},
	}
}
