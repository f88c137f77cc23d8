//go:build linux

package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCasesHaveOneNameAndOneBody(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		if seen[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		seen[f.name] = true
		if (f.act == nil) == (f.alone == nil) {
			t.Errorf("%s has act and alone, or neither", f.name)
		}
		if f.mounts && f.possible == nil {
			t.Errorf("%s mounts, and does not say where it cannot", f.name)
		}
	}
}

func TestFlagsMayStandBehindCases(t *testing.T) {
	var o options
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	o.define(fs)
	names, err := parse(fs, strings.Fields("--seed 7 crash --rounds 5 kill --keep"))
	if err != nil || !slices.Equal(names, []string{"crash", "kill"}) || o.seed != 7 || o.rounds != 5 || !o.keep {
		t.Errorf("cases %q, flags %+v, %v", names, o, err)
	}
}

func TestALaterSettingHolds(t *testing.T) {
	got := merge([]string{"a: 1", "ab: 2"}, nil, []string{"c: 3", "a: 4"})
	if want := []string{"ab: 2", "c: 3", "a: 4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheLongestSinceABaselineIsBounded(t *testing.T) {
	before := &spans{Counts: []uint64{5, 3, 0, 1}, LongestUS: 100}
	for _, tt := range []struct {
		name       string
		after      spans
		over, most time.Duration
	}{
		{"nothing new", *before, 0, 0},
		{"a new longest one", spans{Counts: []uint64{5, 3, 0, 2}, LongestUS: 120}, 120 * time.Microsecond, 120 * time.Microsecond},
		{"a class", spans{Counts: []uint64{5, 4, 0, 1}, LongestUS: 100}, 16 * time.Microsecond, 32 * time.Microsecond},
		{"the longest one's class", spans{Counts: []uint64{5, 3, 0, 2}, LongestUS: 100}, 64 * time.Microsecond, 100 * time.Microsecond},
		{"the first class", spans{Counts: []uint64{6, 3, 0, 1}, LongestUS: 100}, 0, 16 * time.Microsecond},
	} {
		if over, most := tt.after.since(before); over != tt.over || most != tt.most {
			t.Errorf("%s: over %v, at most %v, want %v, %v", tt.name, over, most, tt.over, tt.most)
		}
	}
}

func TestDamageIsToldByFileAndOffset(t *testing.T) {
	const name, at = "/data/2/log/0000000001.log", 50_000
	for _, good := range []string{
		"the log is damaged: /data/2/log/0000000001.log at 49152: bad checksum",
		"0000000001.log: offset 50000 of 67108864",
	} {
		if err := names(good, name, at); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"the log is damaged at 49152",
		"the log is damaged: 0000000001.log",
		"the log is damaged: 0000000001.log at 60000",
	} {
		if names(bad, name, at) == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestTheMiddleOfALogIsWhereSomethingWasWritten(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 1_000_000)
	text[199_999] = 1
	for _, name := range []string{"0000000001.log", "0000000002.log", "0000000001.spare"} {
		if err := os.WriteFile(filepath.Join(dir, "log", name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	name, at, err := middleOfLog(dir)
	if err != nil || filepath.Base(name) != "0000000002.log" || at != 100_000 {
		t.Errorf("got %s at %d, %v", name, at, err)
	}
	for _, want := range []byte{0xff, 0} {
		if err := invert(name, at); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || b[at] != want {
			t.Errorf("the byte is %x, want %x, %v", b[at], want, err)
		}
	}
}

func TestALearnersDumpMayBeginLate(t *testing.T) {
	d := []entry{{"a, 1", "x"}, {"a, 2", "y"}, {"a, 3", "z"}}
	for _, tt := range []struct {
		name  string
		other []entry
		good  bool
	}{
		{"all", d, true},
		{"the end", d[1:], true},
		{"nothing", nil, true},
		{"not the end", d[:2], false},
		{"with a hole", []entry{d[0], d[2]}, false},
	} {
		if p := notTheEnd(tt.other, d); (p == "") != tt.good {
			t.Errorf("%s: %q", tt.name, p)
		}
	}
}
