package workers

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzSplitArray(f *testing.F) {
	for _, seed := range []string{`[]`, ` [ ] `, `[1]`, `[1,"a,b",{"c":[1,2]},null]`, `["\\","\"",","]`, "[\n1 ,\t{} ]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, array string) {
		var want []json.RawMessage
		if json.Unmarshal([]byte(array), &want) != nil || want == nil {
			return
		}
		got := splitArray(array)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), string(got[i]))
		}
	})
}
