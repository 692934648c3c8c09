// Package docs serves the description of the API: OpenAPI documents, and a page that shows
// them and sends requests.
//
// It does not authenticate callers; the gateway does that before. Package openapi builds the
// documents.
package docs
