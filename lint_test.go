// Package pbft_test holds this repository's own rules, those that no linter
// knows: who may import whom, what keeps the consensus core deterministic, how
// long a file may be, and that the documents name only what exists. The checks
// stand in lint_check_test.go, and what shows that each of them can fail in
// lint_self_test.go.
package pbft_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mayImport says which packages of this module a package may import; x/... is
// x and all below it, and a key without dots goes before one with them.
// Imports run one way, from the two programs down to crypto. Only what speaks
// protobuf imports gen, and client and server never meet. Test files may
// import what they like.
var mayImport = map[string][]string{
	"config":                  {"crypto"},
	"crypto":                  {"crypto/sha256pair"},
	"crypto/sha256pair":       {},
	"docs":                    {},
	"gen/...":                 {},
	"wire/...":                {"crypto", "gen/...", "wire/..."},
	"client":                  {"client/pbftclient", "config", "crypto", "gen/...", "wire/..."},
	"client/pbftclient":       {"config", "crypto", "gen/...", "wire/..."},
	"server":                  {"config", "crypto", "server/replica", "server/statemachine/..."},
	"server/consensus":        {"crypto", "server/message"},
	"server/execution":        {"crypto", "server/consensus", "server/message", "server/statemachine"},
	"server/gateway":          {"config", "crypto", "docs", "gen/...", "server/consensus", "server/execution", "server/message", "wire/..."},
	"server/guard":            {}, // tests only: they measure the others
	"server/message":          {"crypto"},
	"server/replica":          {"config", "crypto", "gen/...", "server/...", "wire/..."}, // gen: it fills in the admin service's answers
	"server/replica/...":      {"config", "gen/...", "server/replica"},                   // clusters for tests
	"server/sim":              {"crypto", "server/consensus", "server/execution", "server/message", "server/statemachine/...", "server/storage/..."},
	"server/sim/...":          {"server/sim"}, // programs that run it
	"server/statemachine":     {},
	"server/statemachine/...": {"server/statemachine"},
	"server/storage":          {"config", "crypto", "server/consensus", "server/message", "server/storage/..."},
	"server/storage/...":      {"crypto", "server/consensus", "server/message", "server/storage/file"},
	"server/transport":        {"config", "crypto", "gen/...", "server/message", "wire/..."},
}

// deterministic are the packages where the same inputs must give the same
// effects, byte for byte.
var deterministic = []string{"server/consensus", "server/message"}

// impure is what such a package must not import: clocks, chance, threads, and
// the world outside; x/... is x and all below it.
var impure = []string{"context", "crypto/rand", "log/...", "math/rand/...", "net/...", "os/...", "sync/...", "time"}

// maxLines is the length of a file that a person wrote, tests apart.
const maxLines = 500

func TestImportsRunOneWay(t *testing.T) {
	report(t, checkImports(tree(t), mayImport))
}

func TestTheCoreIsDeterministic(t *testing.T) {
	for _, dir := range deterministic {
		files := production(tree(t), dir)
		if len(files) == 0 {
			t.Errorf("%s has no Go file, so this test checks nothing: mend the list deterministic", dir)
			continue
		}
		report(t, checkPure(files, impure))
		report(t, checkSequential(files))
		report(t, checkMapOrder(files, typesOf(t, files)))
	}
}

func TestTheCorePanicsOnlyInAssert(t *testing.T) {
	report(t, checkPanics(production(tree(t), "server/consensus"), "assert.go"))
}

func TestFilesAreShort(t *testing.T) {
	report(t, checkLength(tree(t), maxLines))
}

// foreign are the names that documents may use although nothing here declares
// them, each with what it belongs to.
var foreign = map[string]string{
	"ACCEPTED":        "a text in JSON",
	"runtime.Gosched": "Go's runtime",
}

func TestDocumentsNameWhatExists(t *testing.T) {
	root := os.DirFS(".")
	names, err := namesOf(tree(t), root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, file := range append(files, "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		report(t, checkDocument(file, string(text), root, names))
		all += string(text)
	}
	for name := range foreign {
		if !strings.Contains(all, "`"+name+"`") {
			t.Errorf("no document names %s: take it out of the list foreign", name)
		}
	}
}

func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// tree is every Go file of this module.
func tree(t *testing.T) []source {
	t.Helper()
	sources, err := parseTree()
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

var parseTree = sync.OnceValues(func() ([]source, error) {
	var sources []source
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && notOurs(name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		sources = append(sources, source{path: filepath.ToSlash(name), fset: fset, file: file})
		return nil
	})
	return sources, err
})

// notOurs are the folders that the go command leaves out of ./... too.
func notOurs(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// production are the files of a folder that a program is built from.
func production(sources []source, dir string) []source {
	return slices.DeleteFunc(slices.Clone(sources), func(s source) bool { return s.dir() != dir || s.test() })
}
