// Package reach reads the OpenAPI documents of a gateway with public tools: it validates
// them, generates clients, and calls every route of the shop with these. check runs it.
package reach
