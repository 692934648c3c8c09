package versions

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// elements cuts a JSON array. Numbers alone, as in most paths, need no reader of JSON.
func elements(array string) (list []json.RawMessage, err error) {
	inner, isArray := strings.CutPrefix(array, "[")
	inner, ends := strings.CutSuffix(inner, "]")
	if isArray && ends && inner != "" && strings.Trim(inner, "0123456789,") == "" {
		for element := range strings.SplitSeq(inner, ",") {
			list = append(list, json.RawMessage(element))
		}
		return list, nil
	}
	err = json.Unmarshal([]byte(array), &list)
	return list, err
}

// read reads JSON as expressions know it: whole numbers as such.
func read(text json.RawMessage) any {
	if n, err := strconv.Atoi(string(text)); err == nil && len(text) < 18 && text[0] != '+' {
		return n
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	return plain(value)
}

func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64() // it is a number
		return f
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return value
}
