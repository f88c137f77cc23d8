package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const osv = `{"id":"GO-2026-0001","modified":"2026-01-02T03:04:05Z","affected":[
	{"package":{"name":"example.org/m"}},{"package":{"name":"example.org/m"}},{"package":{"name":"stdlib"}}]}`

func TestLayOut(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "db")
	write(t, filepath.Join(src, "GO-2026-0001.json"), osv)
	reports, err := readReports(src)
	if err != nil {
		t.Fatal(err)
	}
	if err := layOut(dst, src, reports); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"index/db.json": `{"modified":"2026-01-02T03:04:05Z"}`,
		"index/modules.json": `[{"path":"example.org/m","vulns":[{"id":"GO-2026-0001","modified":"2026-01-02T03:04:05Z"}]},` +
			`{"path":"stdlib","vulns":[{"id":"GO-2026-0001","modified":"2026-01-02T03:04:05Z"}]}]`,
		"ID/GO-2026-0001.json": osv,
	} {
		got, err := os.ReadFile(filepath.Join(dst, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
		}
	}
	if err := layOut(dst, src, reports); err == nil {
		t.Error("a folder that is in use was taken")
	}
}

func TestReadReportsRefuses(t *testing.T) {
	for name, file := range map[string]struct{ name, text string }{
		"no report":           {"README.md", ""},
		"cut JSON":            {"GO-2026-0001.json", osv[:40]},
		"a file named amiss":  {"GO-2026-0002.json", osv},
		"a report with no id": {"GO-2026-0001.json", "{}"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, file.name), file.text)
			if _, err := readReports(dir); err == nil {
				t.Error("no error")
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
