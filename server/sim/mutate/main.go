// Command mutate shows that the simulator can see. It switches off one rule of
// the protocol after the other, in a build of its own, and runs seeds until one
// of them is caught:
//
//	go run ./server/sim/mutate              all mutations
//	go run ./server/sim/mutate m17 m18      some of them
//	go run ./server/sim/mutate -seeds 5000  with more seeds each
//
// The sources stay as they are: each mutation is a replacement of a few lines
// that the compiler reads in the place of the file (go build -overlay). It exits
// with 1 if a mutation is not caught.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 6000, "most seeds for each mutation")
	flag.Parse()
	failed := 0
	for _, m := range mutations {
		if flag.NArg() > 0 && !slices.Contains(flag.Args(), m.id) {
			continue
		}
		start := time.Now()
		how, err := m.catch(*seeds)
		if err != nil {
			failed++
			how = "NOT CAUGHT: " + err.Error()
		}
		fmt.Printf("%-4s %-62s %s (%.0f s)\n", m.id, m.what, how, time.Since(start).Seconds())
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// caught finds the violation in what the test printed.
var caught = regexp.MustCompile(`(?m)(seed \d+).*?\b((?:I|L)\d+)\b|panic: (.*)`)

// catch builds the simulator with the mutation and runs it.
func (m *mutation) catch(seeds int) (string, error) {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "sim.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", bin, "./server/sim").CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not build: %s", out)
	}
	args := []string{"-test.run", "^TestSeeds$", "-seeds", fmt.Sprint(seeds)}
	if m.scenario != "" {
		args = []string{"-test.run", "^" + m.scenario + "$"}
	}
	out, err := exec.Command(bin, args...).CombinedOutput()
	if err == nil {
		return "", fmt.Errorf("nothing wrong in %d seeds", seeds)
	}
	if m.scenario != "" {
		return "caught by " + m.scenario, nil
	}
	if found := caught.FindSubmatch(out); found != nil {
		if len(found[3]) > 0 {
			return "caught by an assertion: " + string(found[3]), nil
		}
		return fmt.Sprintf("caught by %s at %s", found[2], found[1]), nil
	}
	return "caught: " + lastLine(string(out)), nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// overlay writes the mutated files, and the file that tells the compiler of
// them.
func (m *mutation) overlay(dir string) (string, error) {
	replace := make(map[string]string)
	texts := make(map[string]string)
	for _, p := range m.patches {
		text, ok := texts[p.file]
		if !ok {
			b, err := os.ReadFile(p.file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, p.old); n != 1 {
			return "", fmt.Errorf("%s holds %d times what is to be replaced: %q", p.file, n, p.old)
		}
		texts[p.file] = strings.Replace(text, p.old, p.new, 1)
	}
	for file, text := range texts {
		abs, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[abs] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o600)
}
