package docs

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestOpenAPISaysWhatTheServiceDoes(t *testing.T) {
	var d struct {
		Paths       map[string]any
		Definitions map[string]struct {
			Properties map[string]struct {
				Type   string
				Format string
				Items  struct{ Type, Format string }
			}
		}
	}
	if err := json.Unmarshal(OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	if id := d.Definitions["v1OrderRequest"].Properties["id"]; id.Type != "array" || id.Items.Type != "integer" || id.Items.Format != "uint64" {
		t.Errorf("id of a request is described as %+v: it is a list of JSON numbers", id)
	}
	if bytes.Contains(OpenAPI(), []byte(`"format": "uint64",
          "type": "string"`)) {
		t.Error("a 64-bit number is described as a string")
	}
	for _, path := range []string{"/request", "/view_change_request", "/v1/submit", "/v1/status"} {
		if d.Paths[path] == nil {
			t.Errorf("%s is missing", path)
		}
	}
	if d.Paths["/reply"] != nil {
		t.Error("/reply is described: clients serve it, not replicas")
	}
}

func TestBrokenDocumentIsReported(t *testing.T) {
	for _, bad := range []string{"", "[]", "{}"} {
		if _, err := correct([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
