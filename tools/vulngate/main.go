// Command vulngate reads what govulncheck -format json prints and judges it:
//
//	govulncheck -format json ./... | vulngate
//
// It fails on a vulnerability that the code reaches in a module of go.mod,
// which a newer version of that module cures. One in the standard library is
// only told: the Go release that runs this decides it, not this repository.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

func main() {
	reached, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulngate:", err)
		os.Exit(1)
	}
	if !judge(os.Stdout, reached) {
		os.Exit(1)
	}
}

// message is one object of govulncheck's stream: a config at the start, then
// findings and much that is of no interest here.
type message struct {
	Config  *struct{} `json:"config"`
	Finding *finding  `json:"finding"`
}

type finding struct {
	OSV   string  `json:"osv"`
	Fixed string  `json:"fixed_version"`
	Trace []frame `json:"trace"` // from the vulnerable symbol to our code
}

type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Receiver string `json:"receiver"`
	Function string `json:"function"` // empty where a module or package is only imported
}

// read returns one finding for each vulnerability whose symbol is reached, in
// the order of their numbers.
func read(r io.Reader) ([]finding, error) {
	byID := map[string]finding{}
	scanned := false
	dec := json.NewDecoder(r)
	for {
		var m message
		err := dec.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("standard input is not the output of govulncheck -format json: %w", err)
		}
		scanned = scanned || m.Config != nil
		if f := m.Finding; f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			if _, known := byID[f.OSV]; !known {
				byID[f.OSV] = *f
			}
		}
	}
	if !scanned {
		return nil, errors.New("standard input is empty: govulncheck scanned nothing; see what it printed above")
	}
	var reached []finding
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		reached = append(reached, byID[id])
	}
	return reached, nil
}

// judge prints the findings and says whether none is ours to cure.
func judge(w io.Writer, reached []finding) bool {
	ours := 0
	for _, f := range reached {
		at := f.Trace[0]
		if at.Module == "stdlib" {
			fmt.Fprintf(w, "note: %s in the standard library %s, %s: %s\n", f.OSV, at.Version, at.symbol(), fixedIn("Go", f.Fixed))
			continue
		}
		ours++
		fmt.Fprintf(w, "%s: %s %s, reached at %s: %s\n", f.OSV, at.Module, at.Version, at.symbol(), fixedIn(at.Module, f.Fixed))
	}
	fmt.Fprintf(w, "%d reached outside the standard library, %d in it\n", ours, len(reached)-ours)
	return ours == 0
}

func (f frame) symbol() string {
	if f.Receiver != "" {
		return f.Package + "." + f.Receiver + "." + f.Function
	}
	return f.Package + "." + f.Function
}

func fixedIn(what, version string) string {
	if version == "" {
		return "no version of " + what + " fixes it yet; stop calling it, or replace " + what
	}
	return "fixed in " + what + " " + version
}
