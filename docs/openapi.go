// Package docs embeds the documents that the service hands out.
package docs

import _ "embed" // the document below

// OpenAPI is the description of the JSON interface, in OpenAPI 2, generated
// from proto/ by `make generate`.
//
//go:embed api/pbft.swagger.json
var OpenAPI []byte
