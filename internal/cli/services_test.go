package cli

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/oskadev/mailroom/bus/admin"
	"github.com/oskadev/mailroom/bus/registry"
	"github.com/oskadev/mailroom/bus/wire"
)

func TestServicesNameRoutesThatAreNotServed(t *testing.T) {
	t.Parallel()
	s := &registry.Service{Name: "things", Manifest: &wire.Manifest{Service: "things", Protocol: 1, Actions: []wire.Action{{
		Name: "GET_THING", Routes: []string{"GET /things/{id}", "GET /things/:id"}, Args: []wire.Argument{{Name: "id", In: wire.InPath}},
	}}}, Partial: []string{"POST /things"}, Unknown: []string{"actions[0].rout", "versions"}}
	assert.Empty(t, viewOf(s, admin.Stats{}).Partial, "no build is live")
	s.Workers = []registry.Worker{{ID: "things.1"}}
	view := viewOf(s, admin.Stats{})
	const reason = `segment "{id}": a parameter is written :name, without braces`
	assert.Equal(t, map[string]string{"GET /things/{id}": reason}, view.Actions[0].NotServed)
	var out bytes.Buffer
	printRemarks(&out, []serviceView{view})
	assert.Equal(t, "\nthings: the route \"POST /things\" is not served: some live builds do not declare it\n"+
		"\nthings: unknown members of the manifest are ignored: actions[0].rout, versions\n"+
		"\nthings: the route \"GET /things/{id}\" of GET_THING is not served: "+reason+"\n", out.String())
}

func TestServicesNameTheLimitThatAServiceIsOver(t *testing.T) {
	t.Parallel()
	view := viewOf(&registry.Service{Name: "things", Fault: "manifest: 2001 actions, more than 2000", More: 7}, admin.Stats{})
	assert.Equal(t, 7, view.MoreWorkers)
	var out bytes.Buffer
	printRemarks(&out, []serviceView{view})
	assert.Equal(t, "\nthings: manifest: 2001 actions, more than 2000; its last good manifest stays in force\n", out.String())
}
