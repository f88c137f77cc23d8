// Package docs holds the documents that the service hands out.
package docs

import (
	_ "embed" // the document below
	"encoding/json"
	"fmt"
	"sync"
)

// generated is made from proto/ by `make generate`.
//
//go:embed api/pbft.swagger.json
var generated []byte

// OpenAPI is the description of the JSON interface, in OpenAPI 2. It differs
// from the generated one where the service does: 64-bit integers are JSON
// numbers, not strings, and POST /reply is served by clients only.
var OpenAPI = sync.OnceValue(func() []byte {
	b, err := correct(generated)
	if err != nil {
		panic(fmt.Sprintf("docs: the generated OpenAPI document is broken: %v; run make generate", err))
	}
	return b
})

func correct(document []byte) ([]byte, error) {
	var d map[string]any
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	paths, ok := d["paths"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("no paths")
	}
	delete(paths, "/reply")
	numbers(d)
	return json.MarshalIndent(d, "", "  ")
}

// numbers turns the types of 64-bit integers into numbers, everywhere in v.
func numbers(v any) {
	switch v := v.(type) {
	case map[string]any:
		if f := v["format"]; v["type"] == "string" && (f == "uint64" || f == "int64") {
			v["type"] = "integer"
		}
		for _, child := range v {
			numbers(child)
		}
	case []any:
		for _, child := range v {
			numbers(child)
		}
	}
}
