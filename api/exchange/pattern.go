package exchange

import (
	"fmt"
	"net/http"
	"strings"
)

// ParseRoute returns the pattern of a route, as services declare them, without a trailing
// slash.
func ParseRoute(method, path string) (string, error) {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return "", fmt.Errorf("method %q is none of GET, POST, PUT, PATCH, DELETE", method)
	}
	if !strings.HasPrefix(path, "/") || path == "/" {
		return "", fmt.Errorf("path %q: want one that a service declares, such as /users/:id", path)
	}
	return method + " " + strings.TrimSuffix(path, "/"), nil
}
