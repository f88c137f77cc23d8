package main

import (
	"strings"
	"testing"
)

const config = `{"config":{"protocol_version":"v1.0.0"}}` + "\n"

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name, in, says string
		pass           bool
	}{
		{"nothing found", config, "0 reached", true},
		{
			"reached in a module",
			config + `{"finding":{"osv":"GO-1","fixed_version":"v1.1.0","trace":[{"module":"example.org/m","version":"v1.0.0","package":"example.org/m/p","function":"F","receiver":"T"}]}}`,
			"GO-1: example.org/m v1.0.0, reached at example.org/m/p.T.F: fixed in example.org/m v1.1.0", false,
		},
		{
			"reached, and without a fix",
			config + `{"finding":{"osv":"GO-2","trace":[{"module":"example.org/m","package":"example.org/m","function":"F"}]}}`,
			"no version of example.org/m fixes it yet", false,
		},
		{
			"required, not reached",
			config + `{"finding":{"osv":"GO-3","trace":[{"module":"example.org/m","version":"v1.0.0"}]}}`,
			"0 reached", true,
		},
		{
			"reached in the standard library",
			config + `{"finding":{"osv":"GO-4","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http","function":"F"}]}}`,
			"note: GO-4 in the standard library v1.26.8, net/http.F: fixed in Go v1.26.9", true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			reached, err := read(strings.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if pass := judge(&out, reached); pass != c.pass {
				t.Errorf("judge = %v, want %v", pass, c.pass)
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("got  %s\nwant %s", out.String(), c.says)
			}
		})
	}
}

func TestReadRefusesWhatIsNoScan(t *testing.T) {
	for _, in := range []string{"", "govulncheck: no such file", `{"progress":{"message":"x"}}`} {
		if _, err := read(strings.NewReader(in)); err == nil {
			t.Errorf("read(%q) found no fault", in)
		}
	}
}
