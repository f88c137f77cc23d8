package pbft_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/pbft-go/pbft"

// source is a parsed Go file; path is slash-separated, from the root.
type source struct {
	path string
	fset *token.FileSet
	file *ast.File
}

func (s source) dir() string { return path.Dir(s.path) }
func (s source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }

func (s source) lines() int { return s.fset.File(s.file.FileStart).LineCount() }

func (s source) lineOf(pos token.Pos) int { return s.fset.Position(pos).Line }

// problem is a finding as the go command writes one: where, and what to do.
func (s source) problem(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", s.path, s.lineOf(pos)) + fmt.Sprintf(format, args...)
}

func (s source) imports() map[string]token.Pos {
	found := map[string]token.Pos{}
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[p] = spec.Pos()
		}
	}
	return found
}

// covers says whether the pattern is pkg, or x/... with pkg at x or below.
func covers(pattern, pkg string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return pkg == base || below && strings.HasPrefix(pkg, base+"/")
}

func checkImports(sources []source, may map[string][]string) (problems []string) {
	for _, s := range sources {
		if s.test() {
			continue
		}
		allowed, known := ruleOf(may, s.dir())
		if !known {
			problems = append(problems, s.problem(s.file.Package, "package %s is not in the table mayImport: add it, with what it may import", s.dir()))
			continue
		}
		for imported, pos := range s.imports() {
			pkg, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.ContainsFunc(allowed, func(p string) bool { return covers(p, pkg) }) {
				problems = append(problems, s.problem(pos, "%s must not import %s: it may import %v (mayImport in lint_test.go says why)", s.dir(), pkg, allowed))
			}
		}
	}
	return problems
}

// ruleOf finds a package's own entry, else the longest x/... above it.
func ruleOf(may map[string][]string, pkg string) (allowed []string, known bool) {
	if allowed, known = may[pkg]; known {
		return allowed, known
	}
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if allowed, known = may[dir+"/..."]; known {
			return allowed, known
		}
	}
	return nil, false
}

func checkPure(sources []source, impure []string) (problems []string) {
	for _, s := range sources {
		for imported, pos := range s.imports() {
			if slices.ContainsFunc(impure, func(p string) bool { return covers(p, imported) }) {
				problems = append(problems, s.problem(pos, "%s must not import %s: take what it gives as part of an input", s.dir(), imported))
			}
		}
	}
	return problems
}

// checkSequential finds what the scheduler would decide.
func checkSequential(sources []source) (problems []string) {
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt:
				problems = append(problems, s.problem(n.Pos(), "a go statement: the host owns the goroutines, give it an effect"))
			case *ast.SelectStmt:
				problems = append(problems, s.problem(n.Pos(), "a select picks at random: the host owns the channels, take an input"))
			}
			return true
		})
	}
	return problems
}

// ordered are the functions whose result does not depend on the order of the
// iterator they are given.
var ordered = []string{"slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc"}

// checkMapOrder finds loops over a map, and maps.All, Keys and Values outside
// of a sort, unless a comment on the line or on the one above says why the
// order does not matter: //maporder: reason.
func checkMapOrder(sources []source, info *types.Info) (problems []string) {
	const cure = "depends on map order: range over sorted keys, or say why it does not matter with //maporder: reason"
	for _, s := range sources {
		excused := excusedLines(s)
		sorted := map[ast.Expr]bool{}
		flag := func(n ast.Node, what string) {
			if line := s.lineOf(n.Pos()); !excused[line] && !excused[line-1] {
				problems = append(problems, s.problem(n.Pos(), "%s %s", what, cure))
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.RangeStmt:
				if mayBeMap(info.TypeOf(n.X)) {
					flag(n, "this loop")
				}
			case *ast.CallExpr:
				name := callee(info, n)
				if slices.Contains(ordered, name) {
					sorted[n.Args[0]] = true
				}
				if (name == "maps.All" || name == "maps.Keys" || name == "maps.Values") && !sorted[n] {
					flag(n, name)
				}
			}
			return true
		})
	}
	return problems
}

func excusedLines(s source) map[int]bool {
	lines := map[int]bool{}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(c.Text, "//maporder:"); ok && strings.TrimSpace(reason) != "" {
				lines[s.lineOf(c.Pos())] = true
			}
		}
	}
	return lines
}

// mayBeMap is true of a map, and of a type parameter, which may stand for one.
func mayBeMap(t types.Type) bool {
	if _, param := types.Unalias(t).(*types.TypeParam); param {
		return true
	}
	_, isMap := t.Underlying().(*types.Map)
	return isMap
}

// callee is the called function as package.Name, empty where it is no function
// of a package.
func callee(info *types.Info, call *ast.CallExpr) string {
	fun := ast.Unparen(call.Fun)
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	f, ok := info.Uses[selector.Sel].(*types.Func)
	if !ok || f.Pkg() == nil || f.Signature().Recv() != nil {
		return ""
	}
	return f.Pkg().Path() + "." + f.Name()
}

// typesOf checks the files of one package against the compiled packages that
// they import.
func typesOf(t *testing.T, files []source) *types.Info {
	t.Helper()
	fset, asts := files[0].fset, []*ast.File{}
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	for _, s := range files {
		asts = append(asts, s.file)
		for imported := range s.imports() {
			args = append(args, imported)
		}
	}
	var failed bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Stderr = &failed
	list, err := cmd.Output()
	if err != nil {
		t.Fatalf("what %s imports does not compile: %v\n%s", files[0].dir(), err, failed.Bytes())
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(list)) {
		pkg, export, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[pkg] = export
	}
	lookup := func(pkg string) (io.ReadCloser, error) { return os.Open(exports[pkg]) }
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	if _, err := conf.Check(files[0].dir(), fset, asts, info); err != nil {
		t.Fatal(err)
	}
	return info
}

func checkPanics(sources []source, except string) (problems []string) {
	for _, s := range sources {
		if path.Base(s.path) == except {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, ok := ast.Unparen(call.Fun).(*ast.Ident); ok && name.Name == "panic" {
					problems = append(problems, s.problem(n.Pos(), "a bare panic: use the assertion of %s, which names the replica and the values", except))
				}
			}
			return true
		})
	}
	return problems
}

func checkLength(sources []source, limit int) (problems []string) {
	for _, s := range sources {
		if n := s.lines(); n > limit && !s.test() && !ast.IsGenerated(s.file) {
			problems = append(problems, fmt.Sprintf("%s: %d lines, the limit is %d: split it by subject", s.path, n, limit))
		}
	}
	return problems
}

var (
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	backtick = regexp.MustCompile("`([^`\n]+)`")
)

// checkDocument finds words in backticks, outside of code blocks, that name
// what is not there:
//
//   - a path of the repository (a slash, and a folder of the root in front). It
//     may have a * and end in /... or :LINE or :SYMBOL, and may go on with a
//     symbol: server/consensus.Replica.Step;
//   - where they stand alone, a file (timer.go, timer.go:quickRepair) and what
//     looks like a declaration: f(), Type.Member, package.Name and Name.
//
// What is there is in names; see namesOf.
func checkDocument(name, text string, root fs.FS, names map[string]bool) (problems []string) {
	blank := func(block string) string { return strings.Repeat("\n", strings.Count(block, "\n")) }
	text = fenced.ReplaceAllStringFunc(text, blank)
	for _, at := range backtick.FindAllStringSubmatchIndex(text, -1) {
		words := strings.Fields(text[at[2]:at[3]])
		for _, word := range words {
			if !leadsSomewhere(word, root, names) || len(words) == 1 && !isDeclared(word, names) {
				line := 1 + strings.Count(text[:at[0]], "\n")
				problems = append(problems, fmt.Sprintf("%s:%d: %s does not exist: name what took its place", name, line, word))
			}
		}
	}
	return problems
}

var lineNumber = regexp.MustCompile(`:\d+$`)

// bare is a word without what may stand around a name.
func bare(word string) string {
	w := strings.TrimRight(strings.TrimPrefix(word, "./"), ".,;:()")
	return strings.TrimSuffix(lineNumber.ReplaceAllString(w, ""), "/")
}

func leadsSomewhere(word string, root fs.FS, names map[string]bool) bool {
	p := bare(word)
	top, _, slash := strings.Cut(p, "/")
	if !slash || names[p] {
		return true
	}
	if info, err := fs.Stat(root, top); err != nil || !info.IsDir() {
		return true // no path of ours
	}
	found, err := fs.Glob(root, p)
	return err == nil && len(found) > 0
}

var (
	// claims are the shapes of what is declared somewhere: a file, with a symbol
	// of it or not; a call; a member of a package or type; a method of a service;
	// a capitalised name.
	claims = regexp.MustCompile(`^([\w-][\w.-]*\.(go|proto|md|ya?ml|mod|sum|svg|json|txt)(:[\w.]+)?|[\w.]+\(\)|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(/[A-Z]\w*)?|[A-Z]\w*/[A-Z]\w*|[A-Z]\w+)$`)
	// label is a name of the protocol's own: S11, R4, I15, B18, S17b.
	label = regexp.MustCompile(`^[A-Z]\d+[a-z]?$`)
)

func isDeclared(word string, names map[string]bool) bool {
	_, known := foreign[bare(word)]
	return known || names[bare(word)] || label.MatchString(word) || !claims.MatchString(word)
}

// namesOf is all that a document may name: declarations by the folder
// (server/consensus.Replica.Step), by the package (consensus.Replica.Step), by
// themselves (Replica.Step, Step) and behind their file (replica.go:Step,
// server/consensus/replica.go:Replica.Step); what the wire is made of; and the
// base names of files.
func namesOf(sources []source, root fs.FS) (map[string]bool, error) {
	names := map[string]bool{}
	for _, s := range sources {
		if ast.IsGenerated(s.file) {
			continue // it would make almost every word a name; the wire has its own
		}
		for _, d := range declarations(s) {
			last := d[strings.LastIndex(d, ".")+1:]
			names[s.dir()+"."+d], names[strings.TrimSuffix(s.file.Name.Name, "_test")+"."+d] = true, true
			for _, short := range []string{d, last} {
				names[short], names[s.path+":"+short], names[path.Base(s.path)+":"+short] = true, true, true
			}
		}
	}
	return names, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path.Base(name) == ".git":
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		names[path.Base(name)] = true
		if path.Ext(name) == ".proto" {
			return addWire(names, root, name)
		}
		return nil
	})
}

var (
	protoPackage = regexp.MustCompile(`(?m)^package ([\w.]+);`)
	protoBlock   = regexp.MustCompile(`(?ms)^(?:message|enum|service) (\w+) \{(.*?)^\}`)
	protoMember  = regexp.MustCompile(`(?m)^ *(?:rpc (\w+)|(?:[\w.]+ )*(\w+) = \d+)`)
)

// addWire adds messages, enums and services, alone and in their package, and
// with their members: Status.probe, ClientService/Submit. A value of an enum may
// be told by its last words: REPLY_STATUS_OK is OK.
func addWire(names map[string]bool, root fs.FS, file string) error {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	pkg := ""
	if m := protoPackage.FindSubmatch(text); m != nil {
		pkg = string(m[1]) + "."
		names[string(m[1])] = true
	}
	for _, block := range protoBlock.FindAllSubmatch(text, -1) {
		b := string(block[1])
		names[b], names[pkg+b] = true, true
		for _, m := range protoMember.FindAllSubmatch(block[2], -1) {
			member, between := string(m[1])+string(m[2]), "."
			if len(m[1]) > 0 {
				between = "/"
			}
			names[member], names[b+"."+member], names[b+between+member], names[pkg+b+between+member] = true, true, true, true
			if member == strings.ToUpper(member) {
				for i := range strings.Count(member, "_") {
					names[strings.SplitN(member, "_", i+2)[i+1]] = true
				}
			}
		}
	}
	return nil
}

// declarations are the names that a file declares: Quorum, Replica, and
// Replica.Step for methods, fields and calls alike.
func declarations(s source) (found []string) {
	add := func(names ...string) { found = append(found, strings.Join(names, ".")) }
	for _, decl := range s.file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			if decl.Recv == nil {
				add(decl.Name.Name)
			} else {
				add(receiver(decl.Recv.List[0].Type), decl.Name.Name)
			}
		case *ast.GenDecl:
			addSpecs(decl.Specs, add)
		}
	}
	return found
}

func addSpecs(specs []ast.Spec, add func(names ...string)) {
	for _, spec := range specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				add(name.Name)
			}
		case *ast.TypeSpec:
			add(spec.Name.Name)
			for _, member := range members(spec.Type) {
				for _, name := range member.Names {
					add(spec.Name.Name, name.Name)
				}
			}
		}
	}
}

func members(t ast.Expr) []*ast.Field {
	switch t := t.(type) {
	case *ast.StructType:
		return t.Fields.List
	case *ast.InterfaceType:
		return t.Methods.List
	}
	return nil
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}
