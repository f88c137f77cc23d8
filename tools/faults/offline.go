//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// offline runs a command of the server on the directory of replica i, which does
// not run. It returns what the command printed, on standard error too if it
// failed.
func (c *cluster) offline(ctx context.Context, command string, i int) ([]byte, error) {
	var out, said bytes.Buffer
	cmd := exec.Command(filepath.Join(c.bin, "server"), command, c.dataOf(i))
	cmd.Stdout, cmd.Stderr = &out, &said
	p, err := start(cmd)
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx, dumpTimeout); err != nil {
		return append(out.Bytes(), said.Bytes()...), err
	}
	return out.Bytes(), nil
}

// check is server check of the directory of replica i, which does not run.
func (c *cluster) check(ctx context.Context, i int) error {
	said, err := c.offline(ctx, "check", i)
	if err != nil {
		return fmt.Errorf("server check %s: %w: %s", c.dataOf(i), err, strings.TrimSpace(string(said)))
	}
	return nil
}

// stored is server dump of the directory of replica i, which does not run.
func (c *cluster) stored(ctx context.Context, i int) ([]entry, error) {
	said, err := c.offline(ctx, "dump", i)
	if err != nil {
		return nil, fmt.Errorf("server dump %s: %w", c.dataOf(i), failed(err, said))
	}
	d, err := readDump(bytes.NewReader(said))
	if err != nil {
		return nil, fmt.Errorf("server dump %s: %w", c.dataOf(i), err)
	}
	return d, nil
}
