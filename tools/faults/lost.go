//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loseDirectory has a backup come back without its directory.
func loseDirectory(ctx context.Context, r *run) error {
	c := r.cluster
	i, err := c.backup(ctx)
	if err != nil {
		return err
	}
	c.kill(i)
	if err := os.RemoveAll(c.dataOf(i)); err != nil {
		return err
	}
	c.learns[i] = true
	return r.comeBack(ctx, i)
}

// restoreOld has a backup come back with a copy of its directory from before it
// voted for more.
func restoreOld(ctx context.Context, r *run) error {
	c := r.cluster
	i, err := c.backup(ctx)
	if err != nil {
		return err
	}
	old := filepath.Join(c.data(), "old")
	c.kill(i)
	if err := os.CopyFS(old, os.DirFS(c.dataOf(i))); err != nil {
		return err
	}
	if err := r.comeBack(ctx, i); err != nil {
		return err
	}
	if err := sleep(ctx, r.hold/5); err != nil {
		return err
	}
	c.kill(i)
	if err := os.RemoveAll(c.dataOf(i)); err != nil {
		return err
	}
	if err := os.Rename(old, c.dataOf(i)); err != nil {
		return err
	}
	c.learns[i] = true
	return r.comeBack(ctx, i)
}

// damageLog changes one byte in the middle of a backup's log, which must be
// found, and back, after which the replica must go on.
func damageLog(ctx context.Context, r *run) error {
	c := r.cluster
	i, err := c.backup(ctx)
	if err != nil {
		return err
	}
	c.kill(i)
	if err := c.check(ctx, i); err != nil {
		return fmt.Errorf("replica %d was killed, and then: %w", i, err)
	}
	name, at, err := middleOfLog(c.dataOf(i))
	if err != nil {
		return err
	}
	if err := invert(name, at); err != nil {
		return err
	}
	said, err := c.offline(ctx, "check", i)
	if err == nil {
		return fmt.Errorf("server check finds nothing wrong after byte %d of %s was changed: %s", at, name, said)
	}
	if err := names(string(said), name, at); err != nil {
		return fmt.Errorf("server check: %w", err)
	}
	if err := c.refuses(ctx, i); err != nil {
		return err
	}
	if err := names(c.lastLines(i), name, at); err != nil {
		return fmt.Errorf("replica %d: %w", i, err)
	}
	if err := invert(name, at); err != nil {
		return err
	}
	return r.comeBack(ctx, i)
}

// backup is the replica behind the primary.
func (c *cluster) backup(ctx context.Context) (int, error) {
	i, err := c.primary(ctx)
	return (i + 1) % len(c.procs), err
}

// comeBack starts replica i and waits until it has what the others have.
func (r *run) comeBack(ctx context.Context, i int) error {
	if err := r.cluster.restart(i); err != nil {
		return err
	}
	took, err := r.cluster.back(ctx, i)
	r.result.caughtUp = max(r.result.caughtUp, took)
	return err
}

// refuses starts replica i, which must not take part.
func (c *cluster) refuses(ctx context.Context, i int) error {
	if err := c.restart(i); err != nil {
		return err
	}
	c.gone[i] = true
	if err := c.procs[i].wait(ctx, stopTimeout); err == nil || c.procs[i].cmd.ProcessState.ExitCode() <= 0 {
		return fmt.Errorf("replica %d was to refuse to start, and ended so: %w; its log: %s", i, c.procs[i].err, c.lastWords(i))
	}
	return nil
}

// middleOfLog is a byte in the middle of what was written to the newest file of
// the log in a data directory.
func middleOfLog(dir string) (name string, at int64, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "log", "*.log"))
	if err != nil || len(all) == 0 {
		return "", 0, fmt.Errorf("no log in %s: %w", dir, err)
	}
	name = slices.Max(all)
	b, err := os.ReadFile(name)
	if err != nil {
		return "", 0, err
	}
	end := len(strings.TrimRight(string(b), "\x00"))
	if end < 100_000 {
		return "", 0, fmt.Errorf("%s has %d bytes, too few to have a middle", name, end)
	}
	return name, int64(end / 2), nil
}

// invert changes every bit of a byte.
func invert(name string, at int64) error {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err = file.ReadAt(b[:], at); err == nil {
		b[0] = ^b[0]
		_, err = file.WriteAt(b[:], at)
	}
	if e := file.Close(); err == nil {
		err = e
	}
	return err
}

// damageDistance is how far, in bytes, the offset that is named may be from the
// damage: it is that of a record.
const damageDistance = 2 << 20

var offsets = regexp.MustCompile(`\d+`)

// names looks for the file and an offset near the damage behind it.
func names(text, name string, at int64) error {
	_, behind, found := strings.Cut(text, filepath.Base(name))
	if !found {
		return fmt.Errorf("it does not name the file %s: %s", filepath.Base(name), strings.TrimSpace(text))
	}
	for _, word := range offsets.FindAllString(behind, 3) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && n <= at && at-n < damageDistance {
			return nil
		}
	}
	return fmt.Errorf("it names no offset before byte %d, which was changed: %s", at, strings.TrimSpace(text))
}

// lastLines are those of replica i since its last start.
func (c *cluster) lastLines(i int) string {
	text, _ := os.ReadFile(c.log(i))
	return string(text[min(len(text), c.logged[i]):])
}

// waitForEnd waits until replica i has ended by itself, with an exit code that
// says so, and tells what it said.
func (c *cluster) waitForEnd(ctx context.Context, i int, limit time.Duration) (string, error) {
	c.gone[i] = true
	select {
	case <-c.procs[i].done:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case <-time.After(limit):
		return "", fmt.Errorf("replica %d goes on %v after its disk has failed; its log: %s", i, limit, c.lastWords(i))
	}
	if code := c.procs[i].cmd.ProcessState.ExitCode(); code <= 0 {
		return "", fmt.Errorf("replica %d ended so after its disk had failed: %w; its log: %s", i, c.procs[i].err, c.lastWords(i))
	}
	return c.lastLines(i), nil
}
