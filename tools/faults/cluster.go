//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	replicas       = 4 // unless some lie
	normal         = "REPLICA_STATUS_NORMAL"
	learner        = "REPLICA_STATUS_LEARNER"
	startTimeout   = 15 * time.Second
	stopTimeout    = 10 * time.Second
	catchUpTimeout = 20 * time.Second
	statusTimeout  = time.Second
	pollEvery      = 200 * time.Millisecond
)

// cluster is some processes, their logs and their configuration.
type cluster struct {
	dir, bin string
	network  *network // nil: all on loopback
	addrs    []string // public, by index
	procs    []*process
	gone     []bool // ended on purpose, or lying
	learns   []bool // has lost its memory, and only follows
	logged   []int  // bytes of its log when it was started last
	lie      string // of the two liars; empty: there are none
	keep     bool   // the replicas' data
}

// Of seven replicas two may lie: the first primary, and not the one behind it,
// so that each liar costs a view of its own.
const withLiars = 7

var liars = []int{0, 3}

// liarProgram is the server built with the tag liar.
const liarProgram = "liar-server"

func newCluster(ctx context.Context, dir string, o *options, f *fault) (*cluster, error) {
	n := replicas
	if f.lie != "" {
		n = withLiars
	}
	c := &cluster{dir: dir, bin: o.bin, lie: f.lie, keep: o.keep, procs: make([]*process, n), gone: make([]bool, n), learns: make([]bool, n), logged: make([]int, n)}
	for _, i := range liars {
		if f.lie != "" {
			c.gone[i] = true
		}
	}
	if err := c.clear(); err != nil {
		return nil, err
	}
	if f.network {
		var err error
		if c.network, err = newNetwork(); err != nil {
			return nil, err
		}
	}
	if err := c.configure(n, f, o.settings); err != nil {
		return nil, err
	}
	if f.before != nil {
		if err := f.before(c); err != nil {
			return nil, err
		}
	}
	for i := range n {
		if err := c.startReplica(i); err != nil {
			c.close()
			return nil, err
		}
	}
	if err := c.ready(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// clear makes the directory, and removes what an earlier run left there.
func (c *cluster) clear() error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	for i := range c.procs {
		if err := os.RemoveAll(c.log(i)); err != nil {
			return err
		}
	}
	return os.RemoveAll(c.data())
}

func (c *cluster) startReplica(i int) error {
	file, err := os.OpenFile(c.log(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // one that was there before goes on
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // the process has its own
	if info, err := file.Stat(); err == nil {
		c.logged[i] = int(info.Size())
	}
	program := "server"
	if c.lie != "" && slices.Contains(liars, i) {
		program = liarProgram
	}
	args := []string{filepath.Join(c.bin, program), "-i", strconv.Itoa(i), "-c", c.config()}
	if c.network != nil {
		args = append([]string{"/proc/self/exe", launchArg, c.network.host(i)}, append(args, "--insecure")...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = file, file
	if program == liarProgram {
		cmd.Env = []string{"PBFT_LIE=" + c.lie, "PBFT_VICTIM=" + strconv.Itoa(firstClient)}
	}
	if c.network == nil {
		c.procs[i], err = start(cmd)
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	attached, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if c.procs[i], err = start(cmd); err != nil {
		return err
	}
	if err := c.network.attach(i, cmd.Process.Pid); err != nil {
		return err
	}
	_, err = attached.Write([]byte{'\n'})
	return err
}

// ready waits until all replicas are connected and take part.
func (c *cluster) ready(ctx context.Context) error {
	var why string
	for end := time.Now().Add(startTimeout); time.Now().Before(end); {
		why = ""
		for i := range c.procs {
			switch s, err := c.status(ctx, i); {
			case !c.procs[i].running():
				return fmt.Errorf("replica %d ended at its start: %w; its log: %s", i, c.procs[i].err, c.lastWords(i))
			case err != nil:
				why = fmt.Sprintf("replica %d: %v", i, err)
			case s.Status != normal || s.connected() < len(c.procs)-1:
				why = fmt.Sprintf("replica %d is %s with %d peers", i, s.Status, s.connected())
			}
		}
		if why == "" {
			return nil
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
	return fmt.Errorf("the cluster is not ready after %v: %s", startTimeout, why)
}

// lastWords are the end of a replica's log.
func (c *cluster) lastWords(i int) string {
	text, _ := os.ReadFile(c.log(i))
	text = bytes.TrimSpace(text)
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

// end notes that a replica was ended on purpose.
func (c *cluster) end(i int, s syscall.Signal) error {
	c.gone[i] = true
	return c.procs[i].signal(s)
}

// present are the replicas that run to the end of a case.
func (c *cluster) present() (all []int) {
	for i := range c.procs {
		if !c.gone[i] {
			all = append(all, i)
		}
	}
	return all
}

// kill ends replicas by SIGKILL, all at once, and waits until they are gone.
func (c *cluster) kill(all ...int) {
	for _, i := range all {
		_ = c.end(i, syscall.SIGKILL) // it may have ended by itself, which the case finds later
	}
	for _, i := range all {
		<-c.procs[i].done
	}
}

// terminate stops a replica in order.
func (c *cluster) terminate(ctx context.Context, i int) error {
	if err := c.end(i, syscall.SIGTERM); err != nil {
		return fmt.Errorf("SIGTERM to replica %d: %w", i, err)
	}
	if err := c.procs[i].wait(ctx, stopTimeout); err != nil {
		return fmt.Errorf("replica %d after SIGTERM: %w; its log: %s", i, err, c.lastWords(i))
	}
	return nil
}

// restart starts a replica that has ended, with the directory that it had.
func (c *cluster) restart(i int) error {
	c.gone[i] = false
	return c.startReplica(i)
}

// close ends all processes and removes the replicas' data.
func (c *cluster) close() {
	for _, p := range c.procs {
		if p != nil {
			p.kill()
		}
	}
	if !c.keep {
		_ = os.RemoveAll(c.data()) // what is mounted there goes with the namespace
	}
}
