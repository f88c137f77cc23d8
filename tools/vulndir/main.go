// Command vulndir lays out the reports of golang.org/x/vulndb, at the version
// that tools/go.mod pins, as the file database that govulncheck -db reads, so
// that a scan needs the Go module proxy and nothing else:
//
//	go -C tools run ./vulndir DIR
//	govulncheck -db file://DIR ./...
//
// The layout is the one of https://go.dev/security/vuln/database#api: an index
// of modules, the time of the newest change, and one file for each report.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const vulndb = "golang.org/x/vulndb"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go -C tools run ./vulndir DIR (DIR is made, and must be empty if it exists)")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "vulndir:", err)
		os.Exit(1)
	}
}

func run(dst string) error {
	src, err := reportDir()
	if err != nil {
		return err
	}
	reports, err := readReports(src)
	if err != nil {
		return err
	}
	if err := layOut(dst, src, reports); err != nil {
		return err
	}
	fmt.Printf("%d reports in %s\n", len(reports), dst)
	return nil
}

// reportDir downloads the pinned module, unless it is there, and returns the
// folder with its reports.
func reportDir() (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", vulndb)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output() // with an error too, the reason is in the JSON
	var m struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &m); jsonErr != nil {
		return "", fmt.Errorf("%s: %w; run it in tools/, whose go.mod pins %s", cmd, errors.Join(err, jsonErr), vulndb)
	}
	if m.Error != "" {
		return "", fmt.Errorf("download %s: %s", vulndb, m.Error)
	}
	return filepath.Join(m.Dir, "data", "osv"), nil
}

// report is what the index needs to know of a report in the OSV format.
type report struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Affected []struct {
		Package struct {
			Name string `json:"name"` // a module path, or stdlib, or toolchain
		} `json:"package"`
	} `json:"affected"`
}

func readReports(dir string) ([]report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no reports in %s: this version of %s keeps them elsewhere; mend reportDir", dir, vulndb)
	}
	reports := make([]report, 0, len(files))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var r report
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("report %s: %w", f, err)
		}
		if want := r.ID + ".json"; filepath.Base(f) != want {
			return nil, fmt.Errorf("report %s has the id %q, and would not be found: its file must be called %s", f, r.ID, want)
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// module is an entry of index/modules.json. The format also knows the version
// that fixes a report; it is optional, and govulncheck reads the report itself.
type module struct {
	Path  string      `json:"path"`
	Vulns []vulnEntry `json:"vulns"`
}

type vulnEntry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

// index lists the reports of each module, both in order, and the time of the
// newest change, which is zero where the reports carry none.
func index(reports []report) (modules []module, newest time.Time) {
	vulns := map[string][]vulnEntry{}
	for _, r := range reports {
		if r.Modified.After(newest) {
			newest = r.Modified
		}
		entry := vulnEntry{r.ID, r.Modified}
		for _, a := range r.Affected { // a module stands here once for each of its major versions
			if path := a.Package.Name; !slices.Contains(vulns[path], entry) {
				vulns[path] = append(vulns[path], entry)
			}
		}
	}
	for path, v := range vulns {
		modules = append(modules, module{path, v})
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return modules, newest
}

// layOut writes the index. The reports stay in the module cache, where nobody
// changes them: ID is a link.
func layOut(dst, src string, reports []report) error {
	if found, err := os.ReadDir(dst); err == nil && len(found) > 0 {
		return fmt.Errorf("%s holds %s already: give an empty folder or a new one", dst, found[0].Name())
	}
	if err := os.MkdirAll(filepath.Join(dst, "index"), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(src, filepath.Join(dst, "ID")); err != nil {
		return err
	}
	modules, newest := index(reports)
	db := struct {
		Modified time.Time `json:"modified"`
	}{newest}
	return errors.Join(
		writeJSON(filepath.Join(dst, "index", "db.json"), db),
		writeJSON(filepath.Join(dst, "index", "modules.json"), modules),
	)
}

func writeJSON(path string, v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
