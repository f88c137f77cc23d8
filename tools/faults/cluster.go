//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
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
	startTimeout   = 15 * time.Second
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
	lie      string // of the two liars; empty: there are none
}

// Of seven replicas two may lie: the first primary, and not the one behind it,
// so that each liar costs a view of its own.
const withLiars = 7

var liars = []int{0, 3}

// liarProgram is the server built with the tag liar.
const liarProgram = "liar-server"

// configuration is pbft.yaml. The history holds all that a case orders, so that
// dumps are complete.
func configuration(hosts []string, ports []int, loss float64, settings []string) []byte {
	var b bytes.Buffer
	b.WriteString("nodes:\n")
	for i, host := range hosts {
		fmt.Fprintf(&b, "    - {host: %s, port: %d, peer_port: %d}\n", host, ports[2*i], ports[2*i+1])
	}
	fmt.Fprintf(&b, "loss%%: %v\nhistory_bytes: 1 GiB\n", loss)
	for _, line := range settings {
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

func newCluster(ctx context.Context, dir string, o *options, f *fault) (*cluster, error) {
	n := replicas
	if f.lie != "" {
		n = withLiars
	}
	c := &cluster{dir: dir, bin: o.bin, lie: f.lie, procs: make([]*process, n), gone: make([]bool, n)}
	for _, i := range liars {
		if f.lie != "" {
			c.gone[i] = true
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	if f.network {
		if c.network, err = newNetwork(); err != nil {
			return nil, err
		}
	}
	hosts := make([]string, n)
	for i := range hosts {
		hosts[i] = "127.0.0.1"
		if c.network != nil {
			hosts[i], ports[2*i], ports[2*i+1] = c.network.host(i), networkPort, networkPort+100
		}
		c.addrs = append(c.addrs, net.JoinHostPort(hosts[i], strconv.Itoa(ports[2*i])))
	}
	if err := os.WriteFile(c.config(), configuration(hosts, ports, f.loss, o.settings), 0o644); err != nil {
		return nil, err
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

// freePorts are ports of loopback that nobody listens at now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all at once, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func (c *cluster) config() string { return filepath.Join(c.dir, "pbft.yaml") }

func (c *cluster) log(i int) string { return filepath.Join(c.dir, fmt.Sprintf("server%d.log", i)) }

func (c *cluster) startReplica(i int) error {
	file, err := os.Create(c.log(i))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // the process has its own
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

// replicaStatus is the part of GET /v1/status that matters here.
type replicaStatus struct {
	View         uint64 `json:"view"`
	Primary      int    `json:"primary"`
	Status       string `json:"status"`
	Reason       string `json:"status_reason"`
	LastExecuted uint64 `json:"last_executed"`
	Peers        []struct {
		Connected bool `json:"connected"`
	} `json:"peers"`
}

func (s *replicaStatus) connected() (n int) {
	for _, p := range s.Peers {
		if p.Connected {
			n++
		}
	}
	return n
}

// asker keeps no connection, as one to a replica that was cut off would hang.
var asker = &http.Client{Timeout: statusTimeout, Transport: &http.Transport{DisableKeepAlives: true}}

func (c *cluster) status(ctx context.Context, i int) (*replicaStatus, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addrs[i]+"/v1/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := asker.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	s := &replicaStatus{}
	if err := json.NewDecoder(resp.Body).Decode(s); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return s, nil
}

// primary is what most replicas say, of the highest view.
func (c *cluster) primary(ctx context.Context) (int, error) {
	var highest *replicaStatus
	for i := range c.procs {
		if s, err := c.status(ctx, i); err == nil && (highest == nil || s.View > highest.View) {
			highest = s
		}
	}
	if highest == nil {
		return 0, fmt.Errorf("no replica tells who the primary is")
	}
	return highest.Primary, nil
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

func (c *cluster) close() {
	for _, p := range c.procs {
		if p != nil {
			p.kill()
		}
	}
}
