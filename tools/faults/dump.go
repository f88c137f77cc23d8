//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const dumpTimeout = time.Minute

// entry is one executed operation, as the text of JSON.
type entry struct {
	id string // client, number
	op string // a long one's digest
}

// longOp is the size in bytes from which on a digest takes the place of an
// operation's text, as some cases order gigabytes.
const longOp = 256

// dump is what replica i executed, by client dump.
func (c *cluster) dump(ctx context.Context, i int) ([]entry, error) {
	var out, said bytes.Buffer
	cmd := exec.Command(filepath.Join(c.bin, "client"), "dump", "-c", c.config(), "--replica", strconv.Itoa(i))
	cmd.Stdout, cmd.Stderr = &out, &said
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	err = p.wait(ctx, dumpTimeout)
	if err == nil && said.Len() > 0 && !c.learns[i] {
		err = fmt.Errorf("it is not complete: %s", strings.TrimSpace(said.String()))
	}
	if err != nil {
		return nil, fmt.Errorf("dump of replica %d: %w", i, failed(err, said.Bytes()))
	}
	entries, err := readDump(&out)
	if err != nil {
		return nil, fmt.Errorf("dump of replica %d: %w", i, err)
	}
	return entries, nil
}

// dumps are those of all replicas that are to run now, but for learners, whose
// dumps are compared here: they may begin late, and must end as the others do.
func (c *cluster) dumps(ctx context.Context) (dumps map[int][]entry, problems []string) {
	dumps = map[int][]entry{}
	late := map[int][]entry{}
	var longest []entry
	for _, i := range c.present() {
		if !c.procs[i].running() {
			problems = append(problems, fmt.Sprintf("replica %d ended by itself: %v; its log: %s", i, c.procs[i].err, c.lastWords(i)))
			continue
		}
		d, err := c.dump(ctx, i)
		switch {
		case err != nil:
			problems = append(problems, err.Error())
		case c.learns[i]:
			late[i] = d
		default:
			dumps[i] = d
			if len(d) > len(longest) {
				longest = d
			}
		}
	}
	for i, d := range late {
		if p := notTheEnd(d, longest); p != "" {
			problems = append(problems, fmt.Sprintf("replica %d, a learner, is not as the others at the end: %s", i, p))
		}
	}
	return dumps, problems
}

// notTheEnd tells how d differs from the end of all; empty: it is that.
func notTheEnd(d, all []entry) string { return difference(d, all[max(0, len(all)-len(d)):]) }

// readDump reads [[[client, number], data], …].
func readDump(r io.Reader) ([]entry, error) {
	dec := json.NewDecoder(r)
	switch t, err := dec.Token(); {
	case err != nil:
		return nil, err
	case t != json.Delim('['):
		return nil, fmt.Errorf("begins with %v, want [", t)
	}
	var entries []entry
	for dec.More() {
		var e [2]json.RawMessage
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(entries), err)
		}
		op := string(e[1])
		if len(op) >= longOp {
			op = fmt.Sprintf("%x", sha256.Sum256(e[1]))
		}
		entries = append(entries, entry{strings.Trim(string(e[0]), "[]"), op})
	}
	_, err := dec.Token()
	return entries, err
}

// checkDumps compares what replicas executed with each other and with what was
// acknowledged: acks one by one, and of client bench, whose clients have names
// of their own, how many. It returns what is wrong.
func checkDumps(dumps map[int][]entry, acks []ack, benched uint64) (problems []string) {
	longest := -1
	all := slices.Sorted(maps.Keys(dumps))
	for _, i := range all {
		if longest < 0 || len(dumps[i]) > len(dumps[longest]) {
			longest = i
		}
	}
	for _, i := range all {
		d := dumps[i]
		if i != longest {
			other := difference(d, dumps[longest])
			if other == "" {
				continue // what is equal is checked once
			}
			problems = append(problems, fmt.Sprintf("replica %d is not as replica %d: %s", i, longest, other))
		}
		for _, p := range checkDump(d, acks, benched) {
			problems = append(problems, fmt.Sprintf("replica %d: %s", i, p))
		}
	}
	return problems
}

// difference tells the first one, empty if there is none.
func difference(a, b []entry) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("operation %d is [%s] %.40s here, [%s] %.40s there", i, a[i].id, a[i].op, b[i].id, b[i].op)
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d operations here, %d there", len(a), len(b))
	}
	return ""
}

// checkDump looks for operations that are there twice, or not at all.
func checkDump(d []entry, acks []ack, benched uint64) (problems []string) {
	ops := make(map[string]string, len(d))
	var twice, others uint64
	for _, e := range d {
		if _, known := ops[e.id]; known {
			twice++
			continue
		}
		ops[e.id] = e.op
		if strings.HasPrefix(e.id, `"bench-`) {
			others++
		}
	}
	if twice > 0 {
		problems = append(problems, fmt.Sprintf("%d operations are there twice", twice))
	}
	missing := 0
	for _, a := range acks {
		if ops[a.id] != a.op {
			missing++
		}
	}
	if missing > 0 {
		problems = append(problems, fmt.Sprintf("%d acknowledged operations of the probe are missing or others", missing))
	}
	if others < benched {
		problems = append(problems, fmt.Sprintf("%d operations of client bench, which had answers to %d", others, benched))
	}
	return problems
}
